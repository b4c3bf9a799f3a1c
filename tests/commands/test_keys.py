"""`keys`: made, listed, revoked."""

import json
import re
import time
from pathlib import Path

import httpx

from tests.commands.conftest import Command
from tests.processes import run, serving

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
