"""Every write is on record: each mutation, operation and command writes an event for each row it changes.

`GRAPH`, `REST` and `COMMANDS` have a row for each, with the types of the events that it writes. A new one
needs a row here. They run one after the other on one market, so deletions come last.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from string import Template
from typing import Any, TypeAlias

import pytest
from cyclopts import App

from commands.command_line import command_line
from commands.first_start import begin
from db import statistics
from db.engine import Database
from db.log import log
from db.metadata import metadata
from resolvers import customers
from resolvers.viewer import Policy
from rest.routes import OPERATIONS
from schema.graph import graphql_schema
from tests.apis.market import Caller, Market, make_market
from tests.apis.test_isolation import TABLE, WORKS, call
from tests.commands.conftest import Command, command, filled
from tests.factories import make_account, make_app
from tests.keyrings import KEYRING, MASTER_KEY, SETTINGS
from tests.log import begin_log, check_log
from tests.resolvers.calling import everything, write
from tests.resolvers.conftest import viewer_of

__all__ = ["command"]

Rows: TypeAlias = Mapping[str, Sequence[Mapping[str, Any]]]

OTHER_EMAIL = {"email": "other@x.example"}
GRAPH: dict[str, tuple[dict[str, str], list[str]]] = {
    "createApp": ({}, ["app.created"]),
    "updateApp": ({}, ["app.updated"]),
    "rotateAppKeys": ({}, ["app.keys_rotated"]),
    "createFeature": ({}, ["feature.created"]),
    "updateFeature": ({}, ["feature.updated"]),
    "deleteFeature": ({}, ["feature.deleted"]),
    "createTier": ({}, ["tier.created"]),
    "updateTier": ({}, ["tier.updated"]),
    "deleteTier": ({}, ["tier.deleted"]),
    "createCustomer": ({}, ["customer.created"]),
    "getOrCreateCustomer": (OTHER_EMAIL, ["customer.created"]),
    "updateCustomer": ({}, ["customer.updated"]),
    "createCustomerSession": ({}, ["session.created"]),
    "createLicense": ({}, ["license.created"]),
    "updateLicense": ({}, ["license.updated"]),
    "renewLicense": ({}, ["license.renewed"]),
    "transferLicense": ({}, ["license.transferred"]),
    "regenerateLicense": ({}, ["license.regenerated"]),
    "revokeLicense": ({}, ["license.revoked"]),
    "reinstateLicense": ({}, ["license.reinstated"]),
    "deleteLicense": ({}, ["license.deleted"]),
    # The one that was reinstated, and the one that was created.
    "deleteCustomer": ({}, ["customer.deleted", "license.deleted", "license.deleted"]),
    "createApiKey": ({}, ["key.created"]),
    "updateApiKey": ({}, ["key.updated"]),
    "rotateApiKey": ({}, ["key.rotated"]),
    "revokeApiKey": ({}, ["key.revoked"]),
    "registerDocuments": ({}, ["documents.registered"]),
    "deleteDocumentSet": ({}, ["documents.deleted"]),
    "deleteApp": ({}, ["app.deleted"]),
}
REST = {
    "create_app": GRAPH["createApp"],
    "update_app": GRAPH["updateApp"],
    "rotate_keys": GRAPH["rotateAppKeys"],
    "create_feature": GRAPH["createFeature"],
    "update_feature": GRAPH["updateFeature"],
    "delete_feature": GRAPH["deleteFeature"],
    "create_tier": GRAPH["createTier"],
    "update_tier": GRAPH["updateTier"],
    "delete_tier": GRAPH["deleteTier"],
    "create_customer": GRAPH["createCustomer"],
    "get_or_create_customer": GRAPH["getOrCreateCustomer"],
    "update_customer": GRAPH["updateCustomer"],
    "create_customer_session": GRAPH["createCustomerSession"],
    "create_license": GRAPH["createLicense"],
    "update_license": GRAPH["updateLicense"],
    "renew_license": GRAPH["renewLicense"],
    "transfer_license": GRAPH["transferLicense"],
    "regenerate_license": GRAPH["regenerateLicense"],
    "revoke_license": GRAPH["revokeLicense"],
    "reinstate_license": GRAPH["reinstateLicense"],
    "delete_license": GRAPH["deleteLicense"],
    "delete_customer": GRAPH["deleteCustomer"],
    "create_api_key": GRAPH["createApiKey"],
    "update_api_key": GRAPH["updateApiKey"],
    "rotate_api_key": GRAPH["rotateApiKey"],
    "revoke_api_key": GRAPH["revokeApiKey"],
    # A POST, because its input is long. It changes nothing.
    "verify_licenses": ({}, []),
    "delete_app": GRAPH["deleteApp"],
}
COMMANDS: dict[str, tuple[list[str], list[str]]] = {
    "migrate": ([], []),
    "keys create": (["--kind", "secret", "--account", "Acme"], ["key.created"]),
    "keys list": ([], []),
    "keys rotate": (["--app", "atlas"], ["app.keys_rotated"]),
    "keys revoke": (["$key"], ["key.revoked"]),
    "documents add": (["documents.json", "--set", "a@1", "--account", "Acme"], ["documents.registered"]),
    "documents check": ([], []),
    "documents list": ([], []),
    "documents delete": (["a@1", "--account", "Acme"], ["documents.deleted"]),
    "customers duplicates": ([], []),
    "counters check": ([], []),
    "counters repair": ([], []),
    "demo": (["--customers", "1"], ["app.created"]),
    "accounts list": ([], []),
    "accounts rename": (["Acme", "Apex"], []),
    "events check": ([], []),
    "events erase": (["$deleted"], []),
    "accounts remove": (["Apex", "--delete-apps"], []),
    "schema": ([], []),
    "openapi": ([], []),
}
NOT_RUN = {
    "serve": "its requests are operations, and what it makes on its first start has a test of its own",
    "events tail": "it only reads, and never ends",
}

UNRECORDED = {
    "demo": "it loads many rows: only their app has an event",
    "accounts remove": "the events of an account are removed with it",
}
"""Commands that change rows without events."""

SUBJECT: dict[str, Callable[[Mapping[str, Any]], str]] = {
    **dict.fromkeys(
        ("apps", "customers", "licenses", "tiers", "features", "keys"), lambda row: str(row["id"])
    ),
    "tier_features": lambda row: str(row["tier_id"]),
    "documents": lambda row: f"{row['account_id']}/{row['set']}",
}
"""The id of the subject whose event records a change of a row, for each table whose changes are recorded."""

OTHER_TABLES = {
    "accounts": "only commands change accounts",
    "app_counters": "triggers count what is recorded",
    "app_days": "the projector counts what is recorded",
    "app_expiries": "triggers count what is recorded",
    "document_ids": "the ids of documents that are recorded",
    "events": "the record itself",
    "idempotency": "outcomes of requests that are recorded",
    "license_seen": "verifications are noted, and are no changes",
    "log": "the head of the record",
    "master_key": "made once, when an installation begins",
    "retired_slugs": "slugs of apps whose deletion is recorded",
    "signing_keys": "the next key is made ahead of time; a rotation is recorded",
    "tokens": "a token is issued with its license, or by a rotation",
    "trials": "a trial is noted when its license is issued or changed",
    "usage": "counts of requests",
    "watermarks": "how far the expiry of licenses is recorded",
}
OTHER_COLUMNS = {
    "license_count": "triggers count what is recorded",
    "is_current": "cleared when the installation gets another license",
}
"""Columns that change without an event."""


def test_every_mutation_operation_and_command_has_a_row() -> None:
    mutation = graphql_schema.mutation_type
    assert mutation is not None
    assert set(GRAPH) == set(mutation.fields)
    assert set(REST) == {each.name for each in OPERATIONS if not {"GET"} & {*each.methods}}
    assert {*COMMANDS, *NOT_RUN} == set(names_of(command_line))


def test_every_table_is_recorded_or_has_a_reason_not_to_be() -> None:
    assert {*SUBJECT, *OTHER_TABLES} == set(metadata.tables)


def names_of(app: App, *parents: str) -> Iterator[str]:
    """Yield the names of all commands."""
    found = [name for name in app if not name.startswith("-")]
    for name in found:
        yield from names_of(app[name], *parents, name)
    if not found:
        yield " ".join(parents)


@pytest.fixture
def settings() -> Mapping[str, Any]:
    return {**SETTINGS, "budget_burst": 0, "rate_limit_per_minute": 0}


async def test_every_mutation_and_operation_is_recorded(
    database: Database, database_url: str, market: Market, secret: Caller
) -> None:
    await begin_log(database)
    before: Rows = await everything(database)
    for writes, stock in ((GRAPH, market.atlas), (REST, market.borealis)):
        for name, (changes, types) in writes.items():
            answer = await call(secret, TABLE[name], stock.values() | changes)
            assert answer.outcome == WORKS, (name, answer.text)
            after = await everything(database)
            assert_recorded(name, before, after, types)
            before = after
    await check_log(database_url)


def test_every_command_is_recorded(command: Command, database_url: str, tmp_path: Path) -> None:
    values = filled(database_url, make_values)
    (tmp_path / "documents.json").write_text('{"Viewer": "query Viewer { viewer { keyKind } }"}')
    variables = {"DATABASE_URL": database_url, "LICENSEGRAPH_MASTER_KEY": MASTER_KEY}
    before = filled(database_url, everything)
    for name, (arguments, types) in COMMANDS.items():
        filling = [Template(each).substitute(values) for each in arguments]
        done = command(*name.split(), *filling, **variables)
        assert done.returncode == 0, (name, done.stdout, done.stderr)
        after = filled(database_url, everything)
        if name in UNRECORDED:
            assert new_types(before, after) == types, name
        else:
            assert_recorded(name, before, after, types)
        before = after
    filled(database_url, partial(_check, database_url))


async def make_values(database: Database) -> dict[str, str]:
    """Make a market in which one customer has been deleted, and return the values of arguments."""
    market = await make_market(database)
    async with database.write() as session:
        for stock in (market.atlas, market.borealis, market.cirrus):
            await statistics.add_rows(session, stock.app.id)
        await session.execute(log.update().values(counted=log.c.head))
    await begin_log(database)
    await write(database, customers.delete_customer, viewer_of(market.account, Policy()), market.atlas.bob.id)
    return market.atlas.values() | {"deleted": market.atlas.bob.id}


async def _check(database_url: str, _database: Database) -> None:
    await check_log(database_url)


async def test_what_a_server_makes_on_its_first_start_is_recorded(
    database: Database, database_url: str
) -> None:
    before = await everything(database)
    assert await begin(database, KEYRING) is not None
    after = await everything(database)

    types = [str(row["type"]) for row in after["events"]]
    assert {"app.created", "customer.created", "license.created", "key.created"} <= set(types)
    assert_recorded("serve", before, after, sorted(types))
    await check_log(database_url)


async def test_a_row_without_an_event_is_found(database: Database) -> None:
    before = await everything(database)
    app = await make_app(database, await make_account(database))

    with pytest.raises(AssertionError, match=app.id):
        assert_recorded("factories", before, await everything(database), [])


def new_types(before: Rows, after: Rows) -> list[str]:
    """Return the types of the events that were written, sorted."""
    return sorted(str(row["type"]) for row in new_events(before, after))


def new_events(before: Rows, after: Rows) -> list[Mapping[str, Any]]:
    old = {row["id"] for row in before["events"]}
    return [row for row in after["events"] if row["id"] not in old]


def assert_recorded(name: str, before: Rows, after: Rows, types: Sequence[str]) -> None:
    """Check that exactly these events were written, and that each changed row has an event that fits."""
    assert new_types(before, after) == types, name
    written = {(row["subject_id"], row["version"]) for row in new_events(before, after)}
    subjects = {id for id, _ in written}
    for table, subject_of in SUBJECT.items():
        for old, new in changed(table, before[table], after[table]):
            row = new or old
            assert row is not None
            if new is None and row.get("kind") == "session":
                continue  # sessions are deleted with their customer, or when they have ended
            id = subject_of(row)
            assert id in subjects, (name, table, id)
            if "version" in row:
                is_gone = new is None or (table == "apps" and new["account_id"] is None)
                version = row["version"] if not is_gone else (old or row)["version"] + 1
                assert (id, version) in written, (name, table, id, version)


def changed(
    table: str, before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]]:
    """Yield each row that differs, as it was and as it is. None: there was none, or there is none."""
    key = [column.name for column in metadata.tables[table].primary_key]
    old, new = ({tuple(row[name] for name in key): row for row in rows} for rows in (before, after))
    for place in {**old, **new}:
        was, now = old.get(place), new.get(place)
        if was is None or now is None or _compared(was) != _compared(now):
            yield was, now


def _compared(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in OTHER_COLUMNS}
