"""`events`: prints the log, checks it against the tables, and erases the data of deleted customers."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from string import Template
from threading import Timer
from typing import Any

import pytest
from sqlalchemy import select, text

from db import ids
from db.engine import Database
from db.events import events
from db.log import CURSOR_TAG, log
from db.shaping import cursors
from resolvers import (
    accounts,
    api_keys,
    apps,
    customer_sessions,
    customers,
    documents,
    features,
    licenses,
    tiers,
)
from resolvers.documents import Checked
from resolvers.log_tail import follow
from resolvers.purge import purge
from resolvers.viewer import Policy
from tests.commands.conftest import Command, filled
from tests.databases import on_disk
from tests.factories import Account, key_id, make_account, make_key
from tests.keyrings import MASTER_KEY
from tests.log import begin_log, number_events
from tests.processes import begin
from tests.resolvers.calling import write
from tests.resolvers.conftest import viewer_of

AGREE = "The log and the tables agree.\n"
EMAIL = "Grace.Hopper@navy.example"


@dataclass(frozen=True)
class Life:
    """The ids of what a vendor has made. Customer Ada has two licenses; Grace is deleted with her license."""

    account: str
    secret: str
    app: str
    tier: str
    ada: str
    grace: str
    license: str
    deleted_license: str
    key: str


TEXTS = [{"text": "{ viewer { keyKind } }"}, {"text": "{ __typename }"}]


async def accept(_text: str) -> Checked:
    return Checked()


async def live(database: Database) -> Life:
    """Make and change a bit of everything, as requests do, and number the events."""
    account = await make_account(database, name="Acme")
    secret = await key_id(database, await make_key(database, account))
    await begin_log(database)
    viewer = replace(viewer_of(account, Policy()), key_id=secret)
    do = partial(write, database)
    app = await do(apps.create_app, viewer, {"slug": "atlas", "name": "Atlas", "signing_algorithm": "EdDSA"})
    await do(features.create_feature, viewer, "atlas", {"slug": "export", "name": "Export"})
    team = {"slug": "team", "name": "Team", "features": ["export"]}
    tier = await do(tiers.create_tier, viewer, "atlas", team)
    ada = (await do(customers.create_customer, viewer, "atlas", {"email": "ada@x.example"})).id
    hopper = {"email": EMAIL, "name": "Grace Hopper", "external_id": "crm-1", "metadata": {"rank": "admiral"}}
    grace = (await do(customers.create_customer, viewer, "atlas", hopper)).id
    forever = {"customer_id": ada, "forever": True}
    license = await do(licenses.create_license, viewer, {**forever, "tier_id": tier})
    other = await do(licenses.create_license, viewer, forever)
    by_email = {"customer_id": grace, "forever": True, "metadata": {"by": EMAIL}}
    of_grace = await do(licenses.create_license, viewer, by_email)
    await do(licenses.revoke_license, viewer, license, {"reason": "test"})
    await do(licenses.reinstate_license, viewer, license)
    await do(licenses.regenerate_license, viewer, other)
    await do(customers.update_customer, viewer, grace, {"email": f"new.{EMAIL}", "name": "Amazing Grace"})
    await do(customer_sessions.create_customer_session, viewer, grace, {})
    limited = {"kind": "restricted", "name": "K", "scopes": ["read"], "app_slugs": ["atlas"]}
    key = (await do(api_keys.create_api_key, viewer, limited)).id
    await do(customers.delete_customer, viewer, grace)
    given = {"set": "a@1", "documents": TEXTS}
    await documents.register(database, viewer.actor, account.id, accept, given)
    await number_events(database)
    return Life(account.id, secret, app, tier, ada, grace, license, of_grace, key)


async def execute(database: Database, *statements: str) -> None:
    async with database.write() as session:
        for statement in statements:
            await session.execute(text(statement))


def spoil(url: str, *statements: str) -> None:
    filled(url, lambda database: execute(database, *statements))


def test_the_log_of_an_empty_installation_and_of_a_life_agree_with_the_tables(
    command: Command, database_url: str
) -> None:
    empty = command("events", "check", DATABASE_URL=database_url)
    filled(database_url, live)
    lived = command("events", "check", DATABASE_URL=database_url)

    assert (empty.returncode, empty.stdout, empty.stderr) == (0, AGREE, "")
    assert (lived.returncode, lived.stdout, lived.stderr) == (0, AGREE, "")


LATER = ids.new_id(ids.FEATURE, datetime(2100, 1, 1, tzinfo=UTC)).id

SPOILT = {
    "a changed row": (
        ["UPDATE customers SET name = 'Lovelace', metadata = '{}' WHERE id = '$ada'"],
        ["$ada differs from its last event, version 1, in name"],
    ),
    "a change of a link": (
        ["UPDATE licenses SET tier_id = NULL WHERE id = '$license'"],
        ["$license differs from its last event, version 3, in tier, tier_id"],
    ),
    "a version without an event": (
        ["UPDATE licenses SET version = version + 1 WHERE id = '$license'"],
        ["$license has version 4, its last event has version 3"],
    ),
    "a row that was deleted": (
        ["DELETE FROM licenses WHERE id = '$license'"],
        ["$license is gone, its last event is license.reinstated"],
    ),
    "a row that was added": (
        [
            f"INSERT INTO features VALUES ('{LATER}', '$app', 'sso', 'SSO', NULL, '2100-01-01T00:00:00Z', 1)",
        ],
        [f"{LATER} has version 1, and no events"],
    ),
    "a row that came back": (
        ["UPDATE events SET type = 'tier.deleted' WHERE subject_id = '$tier'"],
        ["$tier exists, its last event is tier.deleted"],
    ),
    "a lost event": (
        ["DELETE FROM events WHERE subject_id = '$license' AND version = 2"],
        ["$license has 2 events, their versions are 1 to 3", "position $second of the log is missing"],
    ),
    "a lost creation": (
        ["UPDATE log SET since = '2020-01-01T00:00:00Z'", "UPDATE keys SET version = 7 WHERE id = '$key'"],
        ["$key has version 7, its last event has version 1", "$secret has version 1, and no events"],
    ),
    "events in another order": (
        [
            "UPDATE events SET position = -1 WHERE subject_id = '$license' AND version = 1",
            "UPDATE events SET position = $first WHERE subject_id = '$license' AND version = 2",
            "UPDATE events SET position = $second WHERE subject_id = '$license' AND version = 1",
        ],
        ["$license has a later version at an earlier position"],
    ),
    "a lost end": (
        ["UPDATE log SET head = head + 2"],
        ["positions $next to $last of the log are missing"],
    ),
    "a head that stays behind": (
        ["UPDATE log SET head = head - 1"],
        ["the head of the log is $previous, its last position is $head"],
    ),
    "a lost document": (
        ["DELETE FROM documents WHERE digest = (SELECT max(digest) FROM documents)"],
        ["$account/a@1 has 1 documents, its last event (documents.registered) leaves 2"],
    ),
}


async def _values(database: Database) -> dict[str, str]:
    """Live, and return the values for the statements and lines of `SPOILT`."""
    life = asdict(await live(database))
    async with database.write() as session:
        of_license = select(events.c.position).where(events.c.subject_id == life["license"])
        first, second, _ = (await session.execute(of_license.order_by(events.c.version))).scalars()
        head = (await session.execute(select(log.c.head))).scalar_one()
    places = {"first": first, "second": second, "previous": head - 1, "head": head}
    return life | {name: str(each) for name, each in (places | {"next": head + 1, "last": head + 2}).items()}


@pytest.mark.parametrize("name", SPOILT)
def test_what_differs_is_listed(command: Command, database_url: str, name: str) -> None:
    statements, lines = SPOILT[name]
    values = filled(database_url, _values)
    spoil(database_url, *(Template(each).substitute(values) for each in statements))

    found = command("events", "check", DATABASE_URL=database_url)

    assert found.stdout.splitlines() == [Template(line).substitute(values) for line in lines]
    count = "1 place" if len(lines) == 1 else f"{len(lines)} places"
    assert found.stderr == f"licensegraph: the log and the tables differ in {count}\n"
    assert found.returncode == 1


def test_since_limits_the_check_to_what_has_events_since_then(command: Command, database_url: str) -> None:
    life = filled(database_url, live)
    spoil(
        database_url,
        "UPDATE events SET created_at = '2026-01-23T10:00:00Z'",
        f"UPDATE events SET created_at = '2026-01-24T10:00:00Z' WHERE subject_id = '{life.tier}'",
        f"UPDATE tiers SET name = 'X' WHERE id = '{life.tier}'",
        f"UPDATE customers SET name = 'X' WHERE id = '{life.ada}'",
    )

    all_of_it = command("events", "check", DATABASE_URL=database_url)
    since = command("events", "check", "--since", "2026-01-24T10:00:00Z", DATABASE_URL=database_url)
    later = command("events", "check", "--since", "2026-01-24T10:00:01Z", DATABASE_URL=database_url)
    wrong = command("events", "check", "--since", "yesterday", DATABASE_URL=database_url)

    of_tier = f"{life.tier} differs from its last event, version 1, in name\n"
    assert all_of_it.stdout == f"{life.ada} differs from its last event, version 1, in name\n{of_tier}"
    assert (since.returncode, since.stdout) == (1, of_tier)
    assert (later.returncode, later.stdout) == (0, AGREE)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("licensegraph: --since must be an RFC 3339 timestamp")


def test_old_events_may_be_removed(command: Command, database_url: str) -> None:
    filled(database_url, live)
    for position in (3, 8, 1_000):
        spoil(database_url, f"DELETE FROM events WHERE position <= {position}")

        found = command("events", "check", DATABASE_URL=database_url)

        assert (found.stdout, found.returncode) == (AGREE, 0), position


def test_the_events_of_a_removed_account_leave_no_gap_to_report(command: Command, database_url: str) -> None:
    filled(database_url, live)

    async def remove(database: Database) -> None:
        other = viewer_of(await make_account(database, name="Other"), Policy())
        for name in ("first", "second"):
            values = {"slug": name, "name": name, "signing_algorithm": "EdDSA"}
            await write(database, apps.create_app, other, values)
        await number_events(database)
        await accounts.remove_account(database, "Acme", delete_apps=True)

    filled(database_url, remove)
    found = command("events", "check", DATABASE_URL=database_url)
    assert (found.stdout, found.returncode) == (AGREE, 0)


def test_a_deleted_app_and_the_rows_that_are_left_of_it_agree_with_the_log(
    command: Command, database_url: str
) -> None:
    life = filled(database_url, live)

    async def delete(database: Database) -> None:
        await write(database, apps.delete_app, viewer_of(Account(life.account, ""), Policy()), "atlas")
        await number_events(database)

    filled(database_url, delete)
    hidden = command("events", "check", DATABASE_URL=database_url)
    filled(database_url, purge)
    purged = command("events", "check", DATABASE_URL=database_url)

    assert (hidden.stdout, hidden.returncode) == (AGREE, 0)
    # The purge logs a line.
    assert (purged.stdout.splitlines(keepends=True)[-1], purged.returncode) == (AGREE, 0)


def test_the_rows_that_demo_loads_need_no_events(command: Command, database_url: str) -> None:
    filled(database_url, make_account)
    variables = {"DATABASE_URL": database_url, "LICENSEGRAPH_MASTER_KEY": MASTER_KEY}

    loaded = command("demo", "--customers", "5", **variables)
    found = command("events", "check", **variables)

    assert loaded.returncode == 0, loaded.stderr
    assert (found.stdout, found.returncode) == (AGREE, 0)


def test_tail_prints_the_whole_log_and_goes_on_until_it_is_interrupted(
    tmp_path: Path, database_url: str
) -> None:
    life = filled(database_url, live)
    with tailing(tmp_path, database_url, "--after", "start") as process:
        printed = read_until(process, lambda event: event["type"] == "documents.registered")
        filled(database_url, partial(revoke, life=life))
        (revoked,) = read_until(process, lambda _: True)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr is not None
        assert process.stderr.read() == ""

    assert [event["type"] for event in printed] == TYPES
    by_type = {event["type"]: event for event in printed}
    created = by_type["tier.created"]
    assert created == {
        "id": created["id"],
        "type": "tier.created",
        "created_at": created["created_at"],
        "app": "atlas",
        "subject": {"type": "tier", "id": life.tier},
        "version": 1,
        "actor": {"kind": "key", "id": life.secret, "name": None},
        "request_id": None,
        "caused_by": None,
        "data": {
            "id": life.tier,
            "name": "Team",
            "slug": "team",
            "position": created["data"]["position"],
            "features": ["export"],
            "created_at": created["data"]["created_at"],
            "duration_days": None,
            "trial": False,
        },
        "changes": {},
    }
    assert by_type["license.deleted"]["caused_by"] == by_type["customer.deleted"]["id"]
    assert by_type["documents.registered"]["subject"] == {"type": "document_set", "id": f"{life.account}/a@1"}
    assert by_type["documents.registered"]["data"] == {"set": "a@1", "document_count": 2}
    assert revoked["type"] == "license.revoked"
    assert revoked["changes"]["revoked_reason"] == {"from": None, "to": "late"}


TYPES = [
    "app.created",
    "feature.created",
    "tier.created",
    "customer.created",
    "customer.created",
    "license.created",
    "license.created",
    "license.created",
    "license.revoked",
    "license.reinstated",
    "license.regenerated",
    "customer.updated",
    "session.created",
    "key.created",
    "customer.deleted",
    "license.deleted",
    "documents.registered",
]


async def revoke(database: Database, life: Life) -> None:
    viewer = viewer_of(Account(life.account, ""), Policy())
    await write(database, licenses.revoke_license, viewer, life.license, {"reason": "late"})
    await number_events(database)


@contextmanager
def tailing(folder: Path, url: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run `events tail`, and kill it at the end of the block, or after 30 s."""
    with begin(folder, "events", "tail", *arguments, DATABASE_URL=url) as process:
        timer = Timer(30, process.kill)
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            process.kill()


def read_until(process: subprocess.Popen[str], is_last: Callable[[Any], bool]) -> list[Any]:
    """Return the events that a process prints, up to the first one that is the last."""
    assert process.stdout is not None
    found = []
    for line in process.stdout:
        found.append(json.loads(line))
        if is_last(found[-1]):
            return found
    raise AssertionError(found)


class Waits(Exception):
    """Nothing is left to print."""


async def printed(database: Database, app: str | None, place: str | None) -> list[Any]:
    """Return what `events tail` prints before it waits for more."""
    found: list[Any] = []
    with suppress(Waits):
        async for event in follow(database, app, place):
            found.append(event)  # noqa: PERF401  (what came before Waits counts)
    return found


async def test_tail_begins_where_it_is_told(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(_seconds: float) -> None:
        raise Waits

    monkeypatch.setattr("resolvers.log_tail.sleep", wait)
    monkeypatch.setattr("resolvers.log_tail.EVENTS_PER_READ", 2)
    life = await live(database)

    everything = await printed(database, None, "start")
    of_app = await printed(database, "atlas", "start")

    assert [event["type"] for event in everything] == TYPES
    assert await printed(database, None, everything[2]["id"]) == everything[3:]
    assert await printed(database, None, cursors.encode(CURSOR_TAG, "4", None)) == everything[4:]
    assert await printed(database, None, None) == []
    assert of_app == [event for event in everything if event["app"] is not None]
    await write(database, apps.delete_app, viewer_of(Account(life.account, ""), Policy()), "atlas")
    await number_events(database)
    *before, deleted = await printed(database, "atlas", "start")
    assert (before, deleted["type"]) == (of_app, "app.deleted")


async def test_tail_begins_now_by_default(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    life = await live(database)

    async def wait(_seconds: float) -> None:
        await revoke(database, life)

    monkeypatch.setattr("resolvers.log_tail.sleep", wait)

    assert (await anext(follow(database, None, None)))["type"] == "license.revoked"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--app", "borealis"), "app does not exist"),
        (("--after", "evt_0"), "--after must be the id of an event, a cursor or start"),
        (("--after", "-1"), "--after must be the id of an event, a cursor or start"),
        (("--after", ""), "--after must be the id of an event, a cursor or start"),
        (("--after", "9" * 30), "--after must be the id of an event, a cursor or start"),
    ],
)
def test_tail_refuses_what_the_log_does_not_have(
    command: Command, database_url: str, arguments: Sequence[str], message: str
) -> None:
    done = command("events", "tail", *arguments, DATABASE_URL=database_url)

    assert done.stderr == f"licensegraph: {message}\n"
    assert done.returncode in {1, 2}


def test_the_data_of_a_customer_that_was_deleted_earlier_is_erased(
    command: Command, database_url: str
) -> None:
    life = filled(database_url, live)

    present = command("events", "erase", life.ada, DATABASE_URL=database_url)
    unknown = command("events", "erase", "cus_0", DATABASE_URL=database_url)
    erased = command("events", "erase", life.grace, DATABASE_URL=database_url)
    again = command("events", "erase", life.grace, DATABASE_URL=database_url)
    check = command("events", "check", DATABASE_URL=database_url)

    assert (present.returncode, unknown.returncode) == (1, 1)
    assert present.stderr == (
        "licensegraph: customer_id is a customer that is not deleted: delete it with erase "
        "(README.md says how)\n"
    )
    assert unknown.stderr == "licensegraph: customer_id has no events\n"
    # Created, changed, a session, deleted; and the license: created, deleted.
    assert erased.stdout == f"Erased the personal data in 6 events of {life.grace}.\n"
    assert (erased.returncode, again.stdout) == (0, erased.stdout)
    assert (check.stdout, check.returncode) == (AGREE, 0)
    assert on_disk(database_url, "ada@x.example")
    for word in (EMAIL, EMAIL.lower(), "Grace", "crm-1", "admiral"):
        assert not on_disk(database_url, word), word
