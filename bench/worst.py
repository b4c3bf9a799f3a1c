"""Searches for the most expensive documents: those that take the most CPU while staying within the limits.

``python -m bench.worst [--customers N] [--documents N] [--store NAME] [--keep]``. By default: 100,000
customers with three licenses each, and 2,000 documents on each database. A search generates documents, runs
them, and repeatedly changes the most expensive documents. There are `FAMILIES` searches, each of which starts
with new documents. Each document is sent twice, and the request that takes less CPU counts. The CPU includes
the application and the database. With --keep, the ten most expensive documents of each database are written
to bench/worst.json, and `tests/schema/test_worst.py` uses them to check the limits. The exit code is 1 if a
document takes more than two seconds of CPU.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from graphql import GraphQLInterfaceType, GraphQLObjectType, get_named_type

from asgi import logs
from bench.contestants import HIGH_LIMITS
from bench.measuring import cpu_seconds
from schema.graph import graphql_schema
from server import create_app
from settings import Settings
from tests.databases import make_folder, postgres_server, stop_abandoned_server
from tests.keyrings import MASTER_KEY

ALLOWED_S = 2
KEPT = 10
FAMILIES = 10
FILE = Path(__file__).parent / "worst.json"
SLUG = '"demo"'

_TEXTS = ("a", "e", "an", "example", ".", "@", "jane", "zzz")
_PAGES = ("first: 1", "first: 20", "first: 100", "last: 1", "last: 100")
_TOTALS = ("", "(atMost: 1)", "(atMost: 10000)", "(atMost: 2147483647)")
_MOMENTS = ("2000-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2099-01-01T00:00:00Z")


def _customers(chance: random.Random) -> str:
    filters = [
        f"search: {json.dumps(chance.choice(_TEXTS))}",
        f"email: {json.dumps(chance.choice(_TEXTS))}",
        f'createdAfter: "{chance.choice(_MOMENTS)}"',
        'externalId: "none"',
    ]
    return _connection(chance, filters, ("CREATED_AT", "EMAIL", "NAME"))


def _licenses(chance: random.Random) -> str:
    filters = [
        f"status: {chance.choice(('ACTIVE', 'EXPIRED', 'REVOKED'))}",
        f'feature: "{chance.choice(("export", "sso", "nope"))}"',
        f'tierSlug: "{chance.choice(("team", "starter", "nope"))}"',
        f'expiresAfter: "{chance.choice(_MOMENTS)}"',
        f'expiresBefore: "{chance.choice(_MOMENTS)}"',
        f'verifiedAfter: "{chance.choice(_MOMENTS)}"',
        f'verifiedBefore: "{chance.choice(_MOMENTS)}"',
        f'search: "{chance.choice(("8", "8f1", "lic_", "lic_z"))}"',
    ]
    return _connection(chance, filters, ("CREATED_AT", "EXPIRES_AT", "LAST_VERIFIED_AT"))


def _connection(chance: random.Random, filters: list[str], orders: tuple[str, ...]) -> str:
    given = [chance.choice(_PAGES)]
    if chance.random() < 0.5:
        given.append(f"filter: {{{', '.join(chance.sample(filters, chance.choice((1, 1, 2))))}}}")
    if chance.random() < 0.4:
        given.append(
            f"orderBy: {{field: {chance.choice(orders)}, direction: {chance.choice(('ASC', 'DESC'))}}}"
        )
    return f"({', '.join(given)})"


_ARGUMENTS: Mapping[tuple[str, str], Callable[[random.Random], str]] = {
    ("Query", "app"): lambda _: f"(slug: {SLUG})",
    ("Query", "apps"): lambda chance: f"({chance.choice(_PAGES)})",
    ("Query", "__type"): lambda chance: f'(name: "{chance.choice(("Query", "License", "App"))}")',
    ("Query", "verifyLicenses"): lambda _: f"(appSlug: {SLUG}, by: {{jtis: {json.dumps(['x'] * 100)}}})",
    ("App", "customers"): _customers,
    ("App", "licenses"): _licenses,
    ("Customer", "licenses"): _licenses,
    ("Tier", "licenses"): _licenses,
    ("App", "tier"): lambda _: '(slug: "team")',
    ("App", "customer"): lambda _: '(by: {email: "jane@example.com"})',
    ("App", "license"): lambda _: '(by: {installationId: "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"})',
}
"""The arguments of fields. A field that requires arguments but is not listed here is never selected."""


@dataclass
class Selected:
    """A field of a document, with its selected subfields."""

    type: str
    name: str
    arguments: str = ""
    below: "list[Selected]" = field(default_factory=list)

    def written(self, number: Iterator[int], parent: Mapping[str, str]) -> str:
        key = f"{self.name}{self.arguments}"
        alias = f"a{next(number)}: " if parent.get(self.name, key) != key else ""
        if not self.below:
            return f"{alias}{key}"
        return f"{alias}{key} {{ {_written(self.below, number)} }}"

    def all(self) -> "Iterator[Selected]":
        yield self
        for each in self.below:
            yield from each.all()


def _written(fields: list[Selected], number: Iterator[int]) -> str:
    seen: dict[str, str] = {}
    written = []
    for each in fields:
        key = f"{each.name}{each.arguments}"
        # Without an alias, a repeated field would add nothing to the response.
        written.append(each.written(number, {each.name: ""} if each.name in seen else {}))
        seen[each.name] = key
    return " ".join(written)


class Author:
    """Generates random documents, and randomly changed copies of documents."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def new(self) -> list[Selected]:
        """Generate a document."""
        name = self._chance.choice(("app", "app", "app", "apps", "__schema", "__type", "verifyLicenses"))
        return [self._field("Query", name, self._chance.randint(2, 9))]

    def changed(self, document: list[Selected]) -> list[Selected]:
        """Return a copy of a document with a few changes."""
        changed = deepcopy(document)
        for _ in range(self._chance.choice((1, 1, 2, 3, 8))):
            self._change(changed)
        return changed

    def _change(self, document: list[Selected]) -> None:
        fields = [each for root in document for each in root.all()]
        chosen = self._chance.choice(fields)
        home = next((each.below for each in fields if any(one is chosen for one in each.below)), document)
        match self._chance.randrange(6):
            case 0 | 1:  # repeat the field once or many times
                home += [deepcopy(chosen) for _ in range(self._chance.choice((1, 2, 8, 30)))]
            case 2:
                chosen.arguments = self._arguments(chosen.type, chosen.name)
            case 3 if chosen.below:
                type = get_named_type(_fields_of(chosen.type)[chosen.name].type).name
                chosen.below += self._fields(type, self._chance.randint(1, 6))
            case 4 if len(fields) > 1 and len(home) > 1:
                home[:] = [each for each in home if each is not chosen]
            case _:
                home.append(self._field(chosen.type, chosen.name, self._chance.randint(1, 5)))

    def _fields(self, type: str, depth: int) -> list[Selected]:
        names = [name for name in _fields_of(type) if self._may_be_asked(type, name, depth)]
        if not names:
            return [Selected(type, "__typename")]
        chosen = self._chance.sample(names, min(len(names), self._chance.choice((1, 1, 2, 3, 6))))
        return [self._field(type, name, depth) for name in chosen]

    def _field(self, type: str, name: str, depth: int) -> Selected:
        target = get_named_type(_fields_of(type)[name].type)
        has_fields = isinstance(target, GraphQLObjectType | GraphQLInterfaceType)
        below = self._fields(target.name, depth - 1) if has_fields else []
        return Selected(type, name, self._arguments(type, name), below)

    def _may_be_asked(self, type: str, name: str, depth: int) -> bool:
        asked = _fields_of(type)[name]
        is_given = (type, name) in _ARGUMENTS
        needs = any(str(each.type).endswith("!") for each in asked.args.values())
        has_fields = isinstance(get_named_type(asked.type), GraphQLObjectType | GraphQLInterfaceType)
        return (is_given or not needs) and (depth > 0 or not has_fields)

    def _arguments(self, type: str, name: str) -> str:
        if name == "totalCount":
            return self._chance.choice(_TOTALS)
        given = _ARGUMENTS.get((type, name))
        return given(self._chance) if given else ""


def _fields_of(type: str) -> Mapping[str, Any]:
    named = graphql_schema.type_map[type]
    assert isinstance(named, GraphQLObjectType | GraphQLInterfaceType)
    fields = dict(named.fields)
    if type == "Query":
        fields |= {name: graphql_schema.get_field(named, name) for name in ("__schema", "__type")}
    return fields


@dataclass(frozen=True)
class Found:
    """A document, the CPU of one request in seconds, and the document's cost."""

    seconds: float
    cost: int
    document: list[Selected]

    @property
    def text(self) -> str:
        return f"{{ {_written(self.document, iter(range(10**6)))} }}"


class Search:
    """Searches for the most expensive documents on one database."""

    def __init__(self, client: httpx.AsyncClient, token: str, database: psutil.Process | None) -> None:
        self._client = client
        self._token = token
        self._database = database

    async def worst(self, documents: int, seed: int) -> list[Found]:
        """Search until `documents` documents have been measured. Return them, the most expensive first."""
        author, chance = Author(seed), random.Random(seed)
        found: list[Found] = []
        asked = 0
        while asked < documents:
            best = found[: 2 * KEPT]
            is_new = len(best) < KEPT or chance.random() < 0.1
            document = author.new() if is_new else author.changed(chance.choice(best).document)
            answer = await self.ask(document)
            if answer is not None:
                asked += 1
                # The first run also parses the document and compiles its statement, and later runs do not.
                again = await self.ask(document)
                better = min((answer, again or answer), key=lambda each: each.seconds)
                found = sorted([*found, better], key=lambda each: -each.seconds)
        return found

    async def ask(self, document: list[Selected]) -> Found | None:
        """Run a document, and return its CPU. Return None if the document exceeds the limits."""
        text = Found(0, 0, document).text
        before = self._cpu()
        response = await self._client.post(
            "/graphql", json={"query": text}, headers={"Authorization": f"Bearer {self._token}"}
        )
        spent = self._cpu() - before
        answer = response.json()
        if response.status_code == 503:  # the deadline stopped it, which is the worst case
            return Found(spent, 0, document)
        refused = "data" not in answer or "errors" in answer
        return None if refused else Found(spent, answer["extensions"]["cost"]["requested"], document)

    def _cpu(self) -> float:
        return cpu_seconds(psutil.Process()) + cpu_seconds(self._database)


@contextmanager
def _filled(name: str, customers: int) -> Iterator[tuple[str, str, psutil.Process | None]]:
    """Create a database with a demo app, which has tiers, features and tokens.

    Yield the database's URL, a key, and the database's process.
    """
    folder = make_folder()
    try:
        if name == "sqlite":
            url = f"sqlite:///{folder}/worst.db"
            yield url, _fill(url, customers), None
        else:
            with postgres_server(folder) as socket_folder:
                url = f"postgresql://postgres@/postgres?host={socket_folder}"
                token = _fill(url, customers)
                pid = int((folder / "postgresql" / "postmaster.pid").read_text().split("\n", 1)[0])
                yield url, token, psutil.Process(pid)
    finally:
        stop_abandoned_server(folder)
        shutil.rmtree(folder)


def _fill(url: str, customers: int) -> str:
    environment = {**os.environ, "DATABASE_URL": url, "LICENSEGRAPH_MASTER_KEY": MASTER_KEY}

    def run(*command: str) -> str:
        called = [sys.executable, "server.py", *command]
        return subprocess.run(called, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout

    run("demo", "--customers", str(customers))
    return run("keys", "create", "--kind", "secret").strip()


async def _searched(name: str, customers: int, documents: int, seed: int) -> list[Found]:
    with _filled(name, customers) as (url, token, process):
        app = create_app(Settings(database_url=url, master_key=MASTER_KEY, **HIGH_LIMITS))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://worst", timeout=60
            ) as client,
        ):
            search = Search(client, token, process)
            families = [
                await search.worst(documents // FAMILIES, seed + family) for family in range(FAMILIES)
            ]
            return sorted((each for family in families for each in family), key=lambda each: -each.seconds)[
                :KEPT
            ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.worst")
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--documents", type=int, default=2_000)
    parser.add_argument("--store", choices=("sqlite", "postgresql"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="write bench/worst.json")
    given = parser.parse_args()
    logs.configure("error", "console")
    kept: dict[str, list[dict[str, Any]]] = {}
    for name in [given.store] if given.store else ["sqlite", "postgresql"]:
        found = asyncio.run(_searched(name, given.customers, given.documents, given.seed))
        print(f"{name}:")
        for each in found:
            print(f"  {each.seconds:6.2f} s of CPU, cost {each.cost:6}: {each.text[:150]}")
        kept[name] = [
            {"document": each.text, "cost": each.cost, "seconds": round(each.seconds, 2)} for each in found
        ]
    if given.keep:
        FILE.write_text(json.dumps(kept, indent=1) + "\n")
    sys.exit(0 if all(each["seconds"] <= ALLOWED_S for found in kept.values() for each in found) else 1)


if __name__ == "__main__":
    main()
