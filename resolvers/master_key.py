"""The master key: where it comes from, and the check that it belongs to this database."""

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
    """Give a keyring the master key: `given`, or else the key in the file.

    If no key is given, the database has no key yet and there is no file, create a key, write it to the file
    and return the file's path. In all other cases, return None. If several processes with the same file start
    at the same time, one of them creates the key and all of them use it. Raises MasterKeyError if there is no
    key, if the key cannot be read or written, or if it does not belong to this database.
    """
    file = file.absolute()  # noqa: ASYNC240  (it does not access the disk)
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
            f"the master key ({source}) is not the one that encrypts this database's private keys"
        )
    keyring.unlock(master_key)
    return file if made else None


def parse(text: str) -> bytes:
    """Decode a master key from base64 or base64url. Raises ValueError, whose message omits the key."""
    standard = text.strip().rstrip("=").replace("-", "+").replace("_", "/")
    with suppress(ValueError):
        key = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
        if len(key) == KEY_BYTES:
            return key
    raise ValueError(f"must be {KEY_BYTES} bytes in base64")


def _make(file: Path) -> bool:
    """Create a key, and write it to a file that only its owner can read. Return False if the file exists."""
    if file.exists():
        return False
    key = base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n"
    try:
        # Write the whole key to a temporary file, and then link that file to the final name. Linking fails if
        # the name exists. This way, no process reads an incomplete key, and no existing key is replaced.
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
    """Flush a folder to disk, so that a new file name in it survives a power failure."""
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
            f"the master key that encrypts this database's private keys is missing: "
            f"set {SETTING}, or restore the file {file} ({FILE_SETTING})"
        ) from None
    except OSError as error:
        raise MasterKeyError(f"the master key in {file} cannot be read: {error.strerror}") from error
    except ValueError:
        raise MasterKeyError(
            f"the master key in {file} is damaged: it must be {KEY_BYTES} bytes in base64"
        ) from None
    if mode & 0o077:
        # This is only a warning, because it is often impossible to choose the mode of a mounted secret.
        log.warning("master_key.readable_by_others", file=str(file), mode=f"{mode & 0o777:04o}")
    return key
