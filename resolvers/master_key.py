"""The master key: where it comes from, and whether it is this database's."""

import asyncio
import base64
import hashlib
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

import structlog
from pydantic import SecretStr

from db import clock
from db import master_key as stored
from db.engine import Database
from resolvers.keyring import Keyring, MasterKeyError

KEY_BYTES = 32
SETTING, FILE_SETTING = "LICENSEGRAPH_MASTER_KEY", "LICENSEGRAPH_MASTER_KEY_FILE"

_DOMAIN = b"licensegraph master key\0"

log = structlog.get_logger(__name__)


async def unlock(keyring: Keyring, database: Database, *, given: SecretStr | None, file: Path) -> Path | None:
    """Give a keyring the master key: the one `given`, or else the one in the file.

    For a database that has none yet, and if there is no file, a new one is made and written there; its path
    is answered then. Of processes that start together on one file, one makes it and all take it. Raises
    MasterKeyError when there is no key, when it cannot be read, and when it is not the database's.
    """
    file = file.absolute()  # noqa: ASYNC240  (it asks no disk)
    async with database.read() as reading:
        expected = await stored.find(reading)
    made = False
    if given is not None:
        source, master_key = SETTING, parse(given.get_secret_value())
    else:
        if expected is None:
            made = await asyncio.to_thread(_make, file)
        source, master_key = str(file), await asyncio.to_thread(_read, file)
    fingerprint = hashlib.sha256(_DOMAIN + master_key).hexdigest()
    if expected is None:
        async with database.write() as writing:
            expected = await stored.settle(writing, fingerprint, clock.now())
    if fingerprint != expected:
        raise MasterKeyError(
            f"the master key ({source}) is not the one under which this database's private keys are encrypted"
        )
    keyring.unlock(master_key)
    return file if made else None


def parse(text: str) -> bytes:
    """The master key, of its base64 or base64url. Raises ValueError, whose message does not show it."""
    standard = text.strip().rstrip("=").replace("-", "+").replace("_", "/")
    with suppress(ValueError):
        key = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
        if len(key) == KEY_BYTES:
            return key
    raise ValueError(f"must be {KEY_BYTES} bytes in base64")


def _make(file: Path) -> bool:
    """Write a new key, for its owner's eyes only. False when there is a file already."""
    if file.exists():
        return False
    key = base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n"
    try:
        # Written wholly before it has its name, which can be given only once: nobody reads half a key, and
        # nobody's key is replaced.
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f"{file.name}.") as new:
            new.write(key)
            new.flush()
            os.fsync(new.fileno())
            os.link(new.name, file)
        _sync(file.parent)
    except FileExistsError:
        return False
    except OSError as error:
        raise MasterKeyError(
            f"no new master key can be written to {file} ({FILE_SETTING}): {error.strerror}; "
            f"{SETTING} can hold one instead"
        ) from error
    return True


def _sync(folder: Path) -> None:
    """See to it that a new name in a folder outlives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(file: Path) -> bytes:
    try:
        text, mode = file.read_text("ascii"), file.stat().st_mode
        key = parse(text)
    except FileNotFoundError:
        raise MasterKeyError(
            f"the master key is missing, under which this database's private keys are encrypted: "
            f"set {SETTING}, or bring back the file {file} ({FILE_SETTING})"
        ) from None
    except OSError as error:
        raise MasterKeyError(f"the master key in {file} cannot be read: {error.strerror}") from error
    except ValueError:
        raise MasterKeyError(
            f"the master key in {file} is damaged: it must be {KEY_BYTES} bytes in base64"
        ) from None
    if mode & 0o077:
        # No refusal: where secrets are mounted, their mode is often not ours to choose.
        log.warning("master_key.readable_by_others", file=str(file), mode=f"{mode & 0o777:04o}")
    return key
