"""`keys`: made, listed, revoked."""

import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from db import clock
from tests.commands.conftest import Command
from tests.processes import run, serving

_NO_DURATION = "Invalid value for --expires-in: it must be a duration such as 90d or 12h"
ID = re.compile(r"key_[0-9a-z]{26}")


def test_a_key_serves_until_it_is_revoked(tmp_path: Path, command: Command, database_url: str) -> None:
    variables = {"DATABASE_URL": database_url}
    secret = run(tmp_path, "keys", "create", "--kind", "secret", **variables)
    public = command("keys", "create", "--kind", "public", "--name", "website", **variables)
    tokens = [secret.stdout.removesuffix("\n"), public.stdout.removesuffix("\n")]
    assert re.fullmatch(r"sk_live_[0-9A-Za-z]{32}", tokens[0])
    assert re.fullmatch(r"pk_live_[0-9A-Za-z]{32}", tokens[1])
    listed = json.loads(command("keys", "list", "--json", **variables).stdout)

    with serving(tmp_path, **variables) as server:
        assert "sk_live_" not in server.printed
        assert [status(server.url, token) for token in tokens] == [200, 200]

        by_id = run(tmp_path, "keys", "revoke", listed[0]["id"], **variables)
        time.sleep(1)  # a server may remember a key for less than that
        assert [status(server.url, token) for token in tokens] == [401, 200]

        by_token = command("keys", "revoke", tokens[1], **variables)
        time.sleep(1)
        assert [status(server.url, token) for token in tokens] == [401, 401]

    again = command("keys", "revoke", tokens[0], **variables)
    assert by_id.stdout == f"The key {listed[0]['id']} is revoked.\n"
    assert by_token.stdout == f"The key {listed[1]['id']} is revoked.\n"
    assert (again.returncode, again.stdout) == (0, f"The key {listed[0]['id']} was revoked already.\n")


def status(url: str, token: str) -> int:
    return httpx.get(f"{url}/api/v1/apps", headers={"Authorization": f"Bearer {token}"}).status_code


def test_keys_belong_to_accounts_that_are_made_by_name(command: Command, unmigrated_url: str) -> None:
    def create(*arguments: str) -> str:
        done = command("keys", "create", "--kind", "secret", *arguments, DATABASE_URL=unmigrated_url)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    tokens = [create("--account", "Acme"), create("--name", "ci"), create("--account", "Überfluß")]
    unnamed = command("keys", "create", "--kind", "public", DATABASE_URL=unmigrated_url)
    text = command("keys", "list", DATABASE_URL=unmigrated_url).stdout
    listed = json.loads(command("keys", "list", "--json", DATABASE_URL=unmigrated_url).stdout)

    assert (unnamed.returncode, unnamed.stdout) == (1, "")
    assert unnamed.stderr == "server.py: account must be named, there being several: Acme, Überfluß\n"
    assert [(key["account"], key["name"]) for key in listed] == [
        ("Acme", None),
        ("Acme", "ci"),
        ("Überfluß", None),
    ]
    assert [key["key"] for key in listed] == [f"sk_live_…{token[-4:]}" for token in tokens]
    assert list(listed[0]) == [
        "id",
        "account",
        "kind",
        "name",
        "key",
        "created_at",
        "expires_at",
        "revoked_at",
    ]
    assert [line.split()[0] for line in text.splitlines()] == ["ID", *(key["id"] for key in listed)]
    assert not any(token in text + json.dumps(listed) for token in tokens)


def test_without_any_account_the_first_is_made(command: Command) -> None:
    assert command("keys", "create", "--kind", "secret").returncode == 0

    listed = json.loads(command("keys", "list", "--json").stdout)
    assert [key["account"] for key in listed] == ["default"]


def test_what_cannot_be_done_is_one_line(command: Command) -> None:
    unknown = command("keys", "revoke", "key_01h455vb4pex5vsknk084sn02q")
    blank = command("keys", "create", "--kind", "secret", "--account", " ", "--name", "x" * 256)

    assert (unknown.returncode, unknown.stdout, unknown.stderr) == (1, "", "server.py: key does not exist\n")
    assert (blank.returncode, blank.stdout) == (1, "")
    assert blank.stderr == "server.py: account can't be blank; name is too long (maximum is 255 characters)\n"
    assert json.loads(command("keys", "list", "--json").stdout) == []


@pytest.mark.parametrize(
    ("given", "expires_at"),
    [
        (["--expires-in", "90d"], "2027-04-11T10:00:00Z"),
        (["--expires-in", "1h30m"], "2027-01-11T11:30:00Z"),
        (["--expires-in", "2w"], "2027-01-25T10:00:00Z"),
        (["--expires-at", "2027-01-31T10:00:00Z"], "2027-01-31T10:00:00Z"),
        (["--expires-at", "2027-01-31T10:00:00.9+02:00"], "2027-01-31T08:00:00Z"),
        ([], None),
    ],
)
def test_a_key_expires_when_it_is_told_to(
    command: Command,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    given: list[str],
    expires_at: str | None,
) -> None:
    monkeypatch.setattr(clock, "now", lambda: datetime(2027, 1, 11, 10, tzinfo=UTC))
    made = command("keys", "create", "--kind", "secret", *given, DATABASE_URL=database_url)
    assert made.returncode == 0, made.stderr

    (listed,) = json.loads(command("keys", "list", "--json", DATABASE_URL=database_url).stdout)
    table = command("keys", "list", DATABASE_URL=database_url).stdout.splitlines()[1]
    assert listed["expires_at"] == expires_at
    assert table.split()[6] == (expires_at or "-")


def test_an_expired_key_serves_no_more(tmp_path: Path, database_url: str) -> None:
    variables = {"DATABASE_URL": database_url}
    with serving(tmp_path, **variables) as server:
        made = run(tmp_path, "keys", "create", "--kind", "secret", "--expires-in", "5s", **variables)
        token = made.stdout.strip()
        assert status(server.url, token) == 200
        time.sleep(5)
        assert status(server.url, token) == 401


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (
            ["--expires-in", "90"],
            2,
            _NO_DURATION,
        ),
        (["--expires-in", "P90D"], 2, _NO_DURATION),
        (
            ["--expires-in", f"{'9' * 30}y"],
            2,
            _NO_DURATION,
        ),
        (["--expires-in", "9999y"], 1, "expires_in is too long"),
        (["--expires-in", "0s"], 1, "expires_in must be a second at least"),
        (["--expires-in=-5d"], 1, "expires_in must be a second at least"),
        (["--expires-at", "2020-01-01T00:00:00Z"], 1, "expires_at must be in the future"),
        (["--expires-at", "2030-01-01"], 1, "expires_at must be an RFC 3339 timestamp with an offset"),
        (["--expires-at", "tomorrow"], 1, "expires_at must be an RFC 3339 timestamp with an offset"),
        (
            ["--expires-at", "2090-01-01T00:00:00Z", "--expires-in", "1d"],
            2,
            "Invalid values for group Expiry. Mutually exclusive arguments: {--expires-at, --expires-in}",
        ),
    ],
)
def test_an_expiry_that_cannot_be_is_one_line(
    command: Command, given: list[str], code: int, said: str
) -> None:
    done = command("keys", "create", "--kind", "secret", *given)

    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"server.py: {said}")
    assert len(done.stderr.splitlines()) == 1
    assert json.loads(command("keys", "list", "--json").stdout) == []


@pytest.mark.parametrize("written", [b"%s", b"%s\n", b"  %s \r\nmore\n"])
def test_a_key_is_revoked_by_standard_input(command: Command, database_url: str, written: bytes) -> None:
    variables = {"DATABASE_URL": database_url}
    token = command("keys", "create", "--kind", "secret", **variables).stdout.strip()

    done = command("keys", "revoke", "-", stdin=written % token.encode(), **variables)

    (listed,) = json.loads(command("keys", "list", "--json", **variables).stdout)
    assert done.stdout == f"The key {listed['id']} is revoked.\n"
    assert listed["revoked_at"] is not None


@pytest.mark.parametrize("given", [b"", b"\n", b"sk_live_unknown", b"\xff\x00", b"x" * 5_000_000])
def test_standard_input_without_a_key_is_one_line(command: Command, given: bytes) -> None:
    done = command("keys", "revoke", "-", stdin=given)

    assert (done.returncode, done.stdout, done.stderr) == (1, "", "server.py: key does not exist\n")


def test_a_terminal_is_asked_for_the_key_and_does_not_show_it(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = command("keys", "create", "--kind", "secret").stdout.strip()
    monkeypatch.setattr("commands.keys.getpass", lambda prompt: f"{token} " if prompt == "Key: " else "")
    monkeypatch.setattr("commands.keys.sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))

    assert " is revoked." in command("keys", "revoke", "-").stdout
