"""`keys`: creates, lists and revokes keys."""

import json
import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from db import clock
from db.engine import Database
from db.ids import APP, new_id
from resolvers.viewer import ALL_SCOPES, as_list
from tests.commands.conftest import Command, filled
from tests.factories import key_id, make_account, make_app, make_customer, make_key, make_usage
from tests.processes import run, serving

_NO_DURATION = "--expires-in must be a duration such as 90d or 12h"
ID = re.compile(r"key_[0-9a-z]{26}")
AT = datetime(2026, 1, 23, 10, tzinfo=UTC)


def test_a_key_works_until_it_is_revoked(tmp_path: Path, command: Command, database_url: str) -> None:
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
        time.sleep(1)  # longer than a server may cache a key
        assert [status(server.url, token) for token in tokens] == [401, 200]

        by_token = command("keys", "revoke", tokens[1], **variables)
        time.sleep(1)
        assert [status(server.url, token) for token in tokens] == [401, 401]

    again = command("keys", "revoke", tokens[0], **variables)
    assert by_id.stdout == f"The key {listed[0]['id']} is revoked.\n"
    assert by_token.stdout == f"The key {listed[1]['id']} is revoked.\n"
    assert (again.returncode, again.stdout) == (0, f"The key {listed[0]['id']} was already revoked.\n")


def status(url: str, token: str) -> int:
    return httpx.get(f"{url}/api/v1/apps", headers={"Authorization": f"Bearer {token}"}).status_code


def test_keys_belong_to_accounts_that_are_created_by_name(command: Command, unmigrated_url: str) -> None:
    def create(*arguments: str) -> str:
        done = command("keys", "create", "--kind", "secret", *arguments, DATABASE_URL=unmigrated_url)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    tokens = [
        create("--account", "Acme", "--new-account"),
        create("--name", "ci"),
        create("--account", "Überfluß", "--new-account"),
    ]
    unnamed = command("keys", "create", "--kind", "public", DATABASE_URL=unmigrated_url)
    text = command("keys", "list", DATABASE_URL=unmigrated_url).stdout
    listed = json.loads(command("keys", "list", "--json", DATABASE_URL=unmigrated_url).stdout)

    assert (unnamed.returncode, unnamed.stdout) == (2, "")
    assert (
        unnamed.stderr == "licensegraph: --account is required: there are several accounts: Acme, Überfluß\n"
    )
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
        "scopes",
        "apps",
        "origins",
        "documents",
        "document_sets",
        "created_by",
        "created_at",
        "last_used_at",
        "expires_at",
        "revoked_at",
    ]
    assert [line.split()[0] for line in text.splitlines()] == ["ID", *(key["id"] for key in listed)]
    assert not any(token in text + json.dumps(listed) for token in tokens)


async def _fill(database: Database) -> list[str]:
    """Create an account whose keys have different limits, and return the tokens of the keys."""
    acme = await make_account(database, name="Acme")
    studio, editor = [await make_app(database, acme, slug=slug) for slug in ("studio", "editor")]
    gone = replace(studio, id=new_id(APP).id)
    ci = await make_key(database, acme, name="ci", created_at=AT)
    by_ci = await key_id(database, ci)
    await make_usage(database, by_ci, minute=AT + timedelta(minutes=9))
    crm = await make_key(
        database,
        acme,
        kind="restricted",
        name="crm sync",
        scopes=["read", "write_customers"],
        apps=[studio, editor, gone],
        created_by=by_ci,
        created_at=AT + timedelta(minutes=1),
    )
    page = await make_key(
        database,
        acme,
        kind="public",
        apps=[gone],
        origins=["https://a.example", "https://*.b.example"],
        documents="registered",
        document_sets=["portal@1.4.2", "portal@1.4.3"],
        expires_at=AT + timedelta(days=1),
        revoked_at=AT + timedelta(hours=1),
        created_at=AT + timedelta(minutes=2),
    )
    customer = await make_customer(database, studio)
    session = await make_key(
        database,
        acme,
        kind="session",
        customer=customer,
        created_by=by_ci,
        created_at=AT + timedelta(minutes=3),
    )
    return [ci, crm, page, session]


_LISTED = """\
ID  ACCOUNT  KIND  NAME  KEY  CREATED  LAST USED  EXPIRES  REVOKED
<ID0>  Acme  secret  ci  <KEY0>  2026-01-23T10:00:00Z  2026-01-23T10:09:00Z  -  -
<ID1>  Acme  restricted  crm sync  <KEY1>  2026-01-23T10:01:00Z  -  -  -
  scopes  read, write_customers
  apps  editor, studio
  created by  <ID0>
<ID2>  Acme  public  -  <KEY2>  2026-01-23T10:02:00Z  -  2026-01-24T10:00:00Z  2026-01-23T11:00:00Z
  scopes  read
  apps  none: they were deleted
  origins  https://a.example, https://*.b.example
  documents  registered, in portal@1.4.2, portal@1.4.3
"""
_SESSION = """\
ID  ACCOUNT  KIND  NAME  KEY  CREATED  LAST USED  EXPIRES  REVOKED
<ID3>  Acme  session  -  <KEY3>  2026-01-23T10:03:00Z  -  -  -
  scopes  read
  apps  studio
  created by  <ID0>
"""


def test_the_list_shows_what_keys_are_limited_to(command: Command, database_url: str) -> None:
    tokens = filled(database_url, _fill)
    variables = {"DATABASE_URL": database_url, "LICENSEGRAPH_PUBLIC_KEYS_READ_CUSTOMERS": "false"}

    table = command("keys", "list", **variables).stdout
    sessions = command("keys", "list", "--kind", "session", **variables).stdout
    listed = json.loads(command("keys", "list", "--json", **variables).stdout)
    listed += json.loads(command("keys", "list", "--json", "--kind", "session", **variables).stdout)

    def plain(text: str) -> list[str]:
        """Return the lines without aligned columns, and with names in place of random ids and tokens."""
        for number, (key, token) in enumerate(zip(listed, tokens, strict=True)):
            text = text.replace(key["id"], f"<ID{number}>")
            text = text.replace(f"{token[:8]}…{token[-4:]}", f"<KEY{number}>")
        return [re.sub("  +", "  ", line) for line in text.splitlines()]

    assert plain(table) == _LISTED.splitlines()
    assert plain(sessions) == _SESSION.splitlines()
    ids = [key["id"] for key in listed]
    shown = ("kind", "scopes", "apps", "origins", "documents", "document_sets", "created_by", "last_used_at")
    assert [[key[name] for name in shown] for key in listed] == [
        ["secret", as_list(ALL_SCOPES), None, None, "any", None, None, "2026-01-23T10:09:00Z"],
        ["restricted", ["read", "write_customers"], ["editor", "studio"], None, "any", None, ids[0], None],
        [
            *("public", ["read"], [], ["https://a.example", "https://*.b.example"]),
            *("registered", ["portal@1.4.2", "portal@1.4.3"], None, None),
        ],
        ["session", ["read"], ["studio"], None, "any", None, ids[0], None],
    ]


def test_without_an_account_the_first_one_is_created(command: Command) -> None:
    assert command("keys", "create", "--kind", "secret").returncode == 0

    listed = json.loads(command("keys", "list", "--json").stdout)
    assert [key["account"] for key in listed] == ["default"]


def test_a_misspelt_account_gets_no_key(command: Command, database_url: str) -> None:
    variables = {"DATABASE_URL": database_url}
    command("keys", "create", "--kind", "secret", "--account", "Acme", "--new-account", **variables)

    misspelt = command("keys", "create", "--kind", "secret", "--account", "Acne", **variables)
    taken = command("keys", "create", "--kind", "secret", "--account", "Acme", "--new-account", **variables)
    unnamed = command("keys", "create", "--kind", "secret", "--new-account", **variables)

    assert [(each.returncode, each.stdout) for each in (misspelt, taken, unnamed)] == [
        (1, ""),
        (1, ""),
        (2, ""),
    ]
    assert misspelt.stderr == (
        "licensegraph: account does not exist (there are: Acme); --new-account creates it\n"
    )
    assert taken.stderr == (
        "licensegraph: account has already been taken: leave out --new-account to use it\n"
    )
    assert unnamed.stderr == "licensegraph: --account is required: a new account needs a name\n"
    assert len(json.loads(command("keys", "list", "--json", **variables).stdout)) == 1


def test_errors_are_one_line_each(command: Command) -> None:
    unknown = command("keys", "revoke", "key_01h455vb4pex5vsknk084sn02q")
    blank = command("keys", "create", "--kind", "secret", "--account", " ", "--name", "x" * 256)

    assert (unknown.returncode, unknown.stdout, unknown.stderr) == (
        1,
        "",
        "licensegraph: key does not exist\n",
    )
    assert (blank.returncode, blank.stdout) == (2, "")
    assert blank.stderr == (
        "licensegraph: --account can't be blank\n"
        "licensegraph: --name is too long (maximum is 255 characters)\n"
    )
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
def test_a_key_expires_at_the_given_time(
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
    assert table.split()[7] == (expires_at or "-")


def test_an_expired_key_no_longer_works(tmp_path: Path, database_url: str) -> None:
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
        (["--expires-in", "9999y"], 2, "--expires-in is too long"),
        (["--expires-in", "0s"], 2, "--expires-in must be a second at least"),
        (["--expires-in=-5d"], 2, "--expires-in must be a second at least"),
        (["--expires-at", "2020-01-01T00:00:00Z"], 2, "--expires-at must be in the future"),
        (["--expires-at", "2030-01-01"], 2, "--expires-at must be an RFC 3339 timestamp with an offset"),
        (["--expires-at", "tomorrow"], 2, "--expires-at must be an RFC 3339 timestamp with an offset"),
        (
            ["--expires-at", "2090-01-01T00:00:00Z", "--expires-in", "1d"],
            2,
            "give --expires-at or --expires-in, not both",
        ),
    ],
)
def test_an_invalid_expiry_is_an_error_of_one_line(
    command: Command, given: list[str], code: int, said: str
) -> None:
    done = command("keys", "create", "--kind", "secret", *given)

    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"licensegraph: {said}")
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
def test_standard_input_without_a_key_is_an_error_of_one_line(command: Command, given: bytes) -> None:
    done = command("keys", "revoke", "-", stdin=given)

    assert (done.returncode, done.stdout, done.stderr) == (1, "", "licensegraph: key does not exist\n")


def test_a_terminal_is_asked_for_the_key_and_does_not_show_it(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = command("keys", "create", "--kind", "secret").stdout.strip()
    monkeypatch.setattr("commands.keys.getpass", lambda prompt: f"{token} " if prompt == "Key: " else "")
    monkeypatch.setattr("commands.keys.sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))

    assert " is revoked." in command("keys", "revoke", "-").stdout
