"""A master key for the tests, so that no key file is needed, and keyrings that are unlocked with it."""

from collections.abc import Mapping
from typing import Any

from resolvers.keyring import Keyring
from resolvers.master_key import parse

MASTER_KEY = "bGljZW5zZWdyYXBoIHRlc3RzJyBtYXN0ZXIga2V5ICE="
RSA_BITS = 2_048
"""The smallest key size that the settings allow. Small keys take much less time to create."""

SETTINGS: Mapping[str, Any] = {"master_key": MASTER_KEY, "rsa_bits": RSA_BITS}
"""Settings for every application that a test creates. With the master key set, no key file is written."""


def unlocked(master_key: str = MASTER_KEY) -> Keyring:
    """Return a keyring unlocked with a master key. The caller closes it."""
    keyring = Keyring(rsa_bits=RSA_BITS)
    keyring.unlock(parse(master_key))
    return keyring


KEYRING = unlocked()
"""A shared keyring, for tests that are not about keyrings."""
