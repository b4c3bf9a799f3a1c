"""The master key of the tests, which no file needs to hold, and keyrings that have it."""

from resolvers.keyring import Keyring
from resolvers.master_key import parse

MASTER_KEY = "bGljZW5zZWdyYXBoIHRlc3RzJyBtYXN0ZXIga2V5ICE="
RSA_BITS = 2_048
"""The fewest that the settings allow: keys are made in a fraction of the time."""

SETTINGS = {"master_key": MASTER_KEY, "rsa_bits": RSA_BITS}
"""What every application of a test is set up with, so that it leaves no file behind."""


def unlocked(master_key: str = MASTER_KEY) -> Keyring:
    """A keyring that has a master key. To be closed."""
    keyring = Keyring(rsa_bits=RSA_BITS)
    keyring.unlock(parse(master_key))
    return keyring
