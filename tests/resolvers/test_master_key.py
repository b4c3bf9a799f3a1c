"""The master key: created once, found again, and refused if it does not match the database."""

import asyncio
import base64
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from db import master_key as stored
from db.engine import Database
from resolvers.keyring import Algorithm, Keyring, MasterKeyError
from resolvers.master_key import parse, unlock
from tests.keyrings import MASTER_KEY
from tests.processes import PROGRAM

GIVEN = SecretStr(MASTER_KEY)
OTHER = SecretStr(base64.b64encode(bytes(32)).decode())
WRONG = "is not the one that encrypts this database's private keys"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The path of the master key's file. The file does not exist yet, and its folder is empty."""
    return tmp_path / "master.key"


async def fingerprint(database: Database) -> str | None:
    async with database.read() as session:
        return await stored.find(session)


async def unlocks(database: Database, *, given: SecretStr | None = None, file: Path) -> Path | None:
    """Unlock a new keyring, check that it can create a key, and return what `unlock` returned."""
    keyring = Keyring()
    try:
        made = await unlock(keyring, database, given=given, file=file)
        await keyring.make(Algorithm.EDDSA)
    finally:
        keyring.close()
    return made


async def refused(database: Database, *, given: SecretStr | None = None, file: Path) -> str:
    """Check that unlocking is refused and the keyring stays locked. Return the one-line message."""
    keyring = Keyring()
    with pytest.raises(MasterKeyError) as error:
        await unlock(keyring, database, given=given, file=file)
    with pytest.raises(MasterKeyError, match="has not been given"):
        await keyring.make(Algorithm.EDDSA)
    keyring.close()
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


async def test_the_first_start_creates_a_file_that_only_its_owner_can_read(
    database: Database, file: Path
) -> None:
    assert await unlocks(database, file=file) == file

    assert len(parse(file.read_text())) == 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


async def test_the_next_start_uses_the_file_unchanged(database: Database, file: Path) -> None:
    await unlocks(database, file=file)
    before = file.read_bytes(), await fingerprint(database)

    assert await unlocks(database, file=file) is None
    assert (file.read_bytes(), await fingerprint(database)) == before


async def test_the_full_path_of_the_file_is_reported(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert await unlocks(database, file=Path("licensegraph.key")) == tmp_path / "licensegraph.key"


async def test_a_given_key_needs_and_creates_no_file(database: Database, file: Path) -> None:
    for _ in range(2):
        assert await unlocks(database, given=GIVEN, file=file) is None

    assert list(file.parent.iterdir()) == []


async def test_the_content_of_the_file_can_be_given_instead(database: Database, file: Path) -> None:
    await unlocks(database, file=file)
    given = SecretStr(file.read_text())
    file.unlink()

    assert await unlocks(database, given=given, file=file) is None


async def test_a_given_key_overrides_the_file(database: Database, file: Path) -> None:
    file.write_text("nonsense")

    assert await unlocks(database, given=GIVEN, file=file) is None


async def test_a_file_that_exists_before_the_database_is_used(database: Database, file: Path) -> None:
    file.write_text(f"{MASTER_KEY}\n")

    assert await unlocks(database, file=file) is None
    assert await unlocks(database, given=GIVEN, file=file) is None


async def test_the_database_holds_a_fingerprint_and_not_the_key(database: Database, file: Path) -> None:
    await unlocks(database, given=GIVEN, file=file)

    found = await fingerprint(database)
    # This value must never change, because databases store it.
    assert found == "ec300582b51665d6738d5adee17e7690e79b2c38f768c66c5b192fe7d1ed8f97"


async def test_another_key_is_refused(database: Database, file: Path) -> None:
    await unlocks(database, given=GIVEN, file=file)
    file.write_text(OTHER.get_secret_value())

    by_setting = await refused(database, given=OTHER, file=file)
    by_file = await refused(database, file=file)

    assert by_setting == f"the master key (LICENSEGRAPH_MASTER_KEY) {WRONG}"
    assert by_file == f"the master key ({file}) {WRONG}"
    assert await unlocks(database, given=GIVEN, file=file) is None


async def test_a_missing_file_is_only_created_for_a_database_without_a_key(
    database: Database, file: Path
) -> None:
    await unlocks(database, file=file)
    file.unlink()

    said = await refused(database, file=file)

    assert said == (
        "the master key that encrypts this database's private keys is missing: "
        f"set LICENSEGRAPH_MASTER_KEY, or restore the file {file} (LICENSEGRAPH_MASTER_KEY_FILE)"
    )
    assert list(file.parent.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"secret",
        MASTER_KEY.encode()[:-2],
        MASTER_KEY.encode() * 2,
        b"\xff" * 32,
        MASTER_KEY.encode().replace(b"G", b"*"),
    ],
)
async def test_a_damaged_file_is_refused_and_not_changed(
    database: Database, file: Path, content: bytes
) -> None:
    file.write_bytes(content)

    said = await refused(database, file=file)

    assert said == f"the master key in {file} is damaged: it must be 32 bytes in base64"
    assert file.read_bytes() == content
    assert await fingerprint(database) is None


async def test_a_file_that_cannot_be_read_is_refused(database: Database, file: Path) -> None:
    file.mkdir()

    assert await refused(database, file=file) == f"the master key in {file} cannot be read: Is a directory"


async def test_a_file_that_cannot_be_written_is_refused(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "missing" / "master.key"

    assert await refused(database, file=file) == (
        f"no new master key can be written to {file} (LICENSEGRAPH_MASTER_KEY_FILE): "
        "No such file or directory; LICENSEGRAPH_MASTER_KEY can hold one instead"
    )
    assert await fingerprint(database) is None


@pytest.mark.parametrize(("mode", "warned"), [(0o600, []), (0o400, []), (0o640, ["0640"]), (0o444, ["0444"])])
async def test_a_file_that_others_may_read_is_a_warning(
    database: Database, file: Path, mode: int, warned: list[str]
) -> None:
    file.write_text(MASTER_KEY)
    file.chmod(mode)

    with capture_logs() as logged:
        assert await unlocks(database, file=file) is None

    assert [(line["event"], line["file"], line["mode"]) for line in logged] == [
        ("master_key.readable_by_others", str(file), each) for each in warned
    ]


async def test_one_of_several_tasks_creates_the_file(database: Database, file: Path) -> None:
    made = await asyncio.gather(*(unlocks(database, file=file) for _ in range(8)))

    assert (made.count(file), made.count(None)) == (1, 7)
    assert list(file.parent.iterdir()) == [file]


async def test_one_of_several_hosts_with_different_keys_starts(database: Database, file: Path) -> None:
    keys = [GIVEN, OTHER]

    answers = await asyncio.gather(
        *(unlocks(database, given=key, file=file) for key in keys), return_exceptions=True
    )

    served = answers.index(None)
    assert WRONG in str(answers[1 - served])
    assert await unlocks(database, given=keys[served], file=file) is None


_STARTING = """
import asyncio, sys
from pathlib import Path
from db.engine import Database
from resolvers.keyring import Keyring
from resolvers.master_key import unlock

async def main():
    database = Database(sys.argv[1])
    sys.stdin.read()
    print(await unlock(Keyring(), database, given=None, file=Path(sys.argv[2])))
    await database.close()

asyncio.run(main())
"""


async def test_one_of_several_processes_creates_the_file(database_url: str, file: Path) -> None:
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _STARTING,
            database_url,
            str(file),
            cwd=PROGRAM.parent,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
        )
        for _ in range(4)
    ]

    said = await asyncio.gather(*(process.communicate(b"") for process in processes))

    assert sorted(said) == sorted([(f"{file}\n".encode(), b""), *[(b"None\n", b"")] * 3])


@pytest.mark.parametrize(
    "text",
    [
        "+/+/" * 10 + "+/8=",
        "-_-_" * 10 + "-_8=",
        "-_-_" * 10 + "-_8",
        " " + "+/+/" * 10 + "+/8=\n",
    ],
)
def test_both_base64_alphabets_are_read_with_and_without_padding(text: str) -> None:
    assert parse(text) == b"\xfb\xff\xbf" * 10 + b"\xfb\xff"


@pytest.mark.parametrize(
    "text", ["", "secret", "A" * 42, "A" * 44, "A" * 86, "é" * 43, "A" * 21 + "\n" + "A" * 22]
)
def test_an_invalid_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be 32 bytes in base64$"):
        parse(text)
