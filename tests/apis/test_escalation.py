"""Escalation: a key with MANAGE_KEYS cannot give any key more than it has itself.

Each test chain makes random changes through both APIs. It sends each change with a token that it knows: the
token of its first key, or a token that an earlier change returned. After each change, all keys are read with
another key, which no chain changes.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any, TypeAlias

import httpx
import pytest

from asgi import authentication
from db import clock
from db.engine import Database
from db.keys import keys as stored
from resolvers.viewer import ALL_SCOPES, Scope, as_list
from tests.apis.both import camel_case
from tests.apis.market import Caller
from tests.factories import (
    Account,
    App,
    key_id,
    make_account,
    make_app,
    make_customer,
    make_document,
    make_key,
)
from tests.keyrings import SETTINGS

CREATE = """mutation ($input: CreateApiKeyInput!) {
  outcome: createApiKey(input: $input) { apiKey { id } token userErrors { code } } }"""
UPDATE = """mutation ($input: UpdateApiKeyInput!) {
  outcome: updateApiKey(input: $input) { apiKey { id } userErrors { code } } }"""
ROTATE = """mutation ($input: RotateApiKeyInput!) {
  outcome: rotateApiKey(input: $input) { apiKey { id } token userErrors { code } } }"""
READ = """query ($after: String) { apiKeys(first: 100, after: $after) {
  nodes { id kind name last4 scopes apps { slug } origins documents documentSets expiresAt }
  pageInfo { hasNextPage endCursor } } }"""

STEPS = 8
KINDS = ("secret", "restricted", "public")
SLUGS = ("atlas", "bolt", "comet")
ORIGINS = ("https://portal.example", "https://*.preview.example", "https://a.preview.example")
SETS = ("a", "b")
DAYS = (5, 10, 20)
WORDS = [str(scope) for scope in as_list(ALL_SCOPES)]
ENUMS = ("kind", "scopes", "documents")

Values: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Held:
    """A key as the API shows it. None stands for no limit."""

    id: str
    kind: str
    name: str | None
    last4: str
    scopes: frozenset[str]
    apps: frozenset[str] | None
    origins: frozenset[str] | None
    sets: frozenset[str] | None
    only_registered: bool
    expires_at: datetime | None

    def excess_over(self, other: "Held") -> set[str]:
        """Return the respects in which this key has more than another one."""
        has_time = other.expires_at is None or (
            self.expires_at is not None and self.expires_at <= other.expires_at
        )
        is_within = {
            "kind": self.kind != "SECRET" or other.kind == "SECRET",
            "scopes": self.scopes <= other.scopes,
            "apps": _is_part(self.apps, other.apps),
            "origins": _is_part(_pages(self.origins), _pages(other.origins)),
            "documents": self.only_registered or not other.only_registered,
            "sets": not other.only_registered or _is_part(self.sets, other.sets),
            "expiry": has_time,
        }
        return {name for name, within in is_within.items() if not within}


def _is_part(part: frozenset[str] | None, whole: frozenset[str] | None) -> bool:
    return whole is None or (part is not None and part <= whole)


def _pages(origins: frozenset[str] | None) -> frozenset[str] | None:
    """Return the origins in `ORIGINS` that a key with these origins works on. None stands for no limit."""
    if origins is None or ORIGINS[1] not in origins:
        return origins
    return origins | {ORIGINS[2]}


@dataclass
class World:
    """An account with keys of different kinds and with different limits."""

    database: Database
    account: Account
    apps: Mapping[str, App]
    auditor: Caller
    bystanders: Sequence[str]
    seen: Counter[tuple[str, str, str]]
    """How often each change succeeded or failed through each API."""

    async def keys(self) -> dict[str, Held]:
        """Read all keys of the account except sessions."""
        found: dict[str, Held] = {}
        after = None
        while True:
            page = (await self.auditor.data(READ, after=after))["apiKeys"]
            found |= {node["id"]: _held(node) for node in page["nodes"]}
            if not page["pageInfo"]["hasNextPage"]:
                return found
            after = page["pageInfo"]["endCursor"]


def _held(node: Values) -> Held:
    def limit(values: Sequence[str] | None) -> frozenset[str] | None:
        return None if values is None else frozenset(values)

    return Held(
        node["id"],
        node["kind"],
        node["name"],
        node["last4"],
        frozenset(node["scopes"]),
        None if node["apps"] is None else frozenset(app["slug"] for app in node["apps"]),
        limit(node["origins"]),
        limit(node["documentSets"]),
        node["documents"] == "REGISTERED",
        None if node["expiresAt"] is None else datetime.fromisoformat(node["expiresAt"]),
    )


@pytest.fixture(autouse=True)
def no_cached_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look up keys in every request, so that a change takes effect at once."""
    monkeypatch.setattr(authentication, "CACHED_SECONDS", 0)


@pytest.fixture
def settings() -> Mapping[str, Any]:
    return {**SETTINGS, "budget_burst": 0, "rate_limit_per_minute": 0, "refused_limit_per_minute": 0}


@pytest.fixture
async def world(database: Database, client: httpx.AsyncClient) -> World:
    account = await make_account(database)
    apps = {slug: await make_app(database, account, slug=slug) for slug in SLUGS}
    auditor = Caller(client, await make_key(database, account, name="auditor"))
    for text in (CREATE, UPDATE, ROTATE):
        for name in SETS:
            await make_document(database, account, text=text, set=name)
    everywhere: Values = {"kind": "restricted", "scopes": sorted(ALL_SCOPES - {Scope.WRITE})}
    terms: list[Values] = [
        {},
        everywhere,
        {"kind": "public"},
        {"kind": "restricted", "scopes": ["manage_keys"]},
        {"kind": "restricted", "scopes": ["read", "manage_keys"], "apps": [apps["bolt"]]},
        {"kind": "restricted", "scopes": ["read"], "apps": [apps["atlas"]], "expires_at": _in_days(5)},
        {**everywhere, "origins": ORIGINS[:1]},
        {**everywhere, "documents": "registered", "document_sets": ["a"]},
        {"kind": "session", "customer": await make_customer(database, apps["atlas"])},
    ]
    tokens = [await make_key(database, account, name="bystander", **each) for each in terms]
    bystanders = [await key_id(database, token) for token in tokens]
    return World(database, account, apps, auditor, bystanders, Counter())


def _in_days(days: int) -> datetime:
    return clock.now() + timedelta(days=days)


def _some(random: Random, values: Sequence[Any]) -> list[Any]:
    return random.sample(values, random.randint(1, len(values)))


async def start_key(world: World, random: Random) -> str:
    """Create the key that a chain starts with, and return its token."""

    def maybe(value: Callable[[], Any]) -> Any:
        return value() if random.random() < 0.6 else None

    kind = random.choice(("restricted", "restricted", "secret"))
    sets = maybe(lambda: _some(random, SETS))
    return await make_key(
        world.database,
        world.account,
        name="start",
        kind=kind,
        scopes=None if kind == "secret" else sorted({"manage_keys", *_some(random, WORDS)} - {"write"}),
        apps=maybe(lambda: [world.apps[slug] for slug in _some(random, SLUGS[:2])]),
        origins=maybe(lambda: _some(random, ORIGINS[:2])),
        documents=random.choice(("any", "any", "registered")),
        document_sets=sets,
        expires_at=maybe(lambda: _in_days(random.choice(DAYS[:2]))),
    )


def random_terms(random: Random, own: Held) -> Values:
    """Return random terms for a key. Each may be left out, null, within what `own` has, or any value."""
    scopes = [word.lower() for word in sorted(own.scopes - {"WRITE"})]
    choices: Mapping[str, tuple[Sequence[Any], Sequence[Any]]] = {
        "scopes": (WORDS, scopes or ["read"]),
        "app_slugs": (SLUGS, sorted(own.apps or SLUGS) or SLUGS),
        "origins": (ORIGINS, sorted(own.origins or ORIGINS)),
        "document_sets": (SETS, sorted(own.sets or SETS)),
    }
    terms: Values = {}
    for name, (every, within) in choices.items():
        match random.choices(("left out", "within", "null", "any"), (10, 8, 1, 2))[0]:
            case "within":
                terms[name] = _some(random, within)
            case "null":
                terms[name] = None
            case "any":
                terms[name] = _some(random, every)
    if random.random() < 0.15:
        terms["documents"] = random.choice(("any", "registered"))
    if random.random() < 0.2:
        later = random.choice((None, *map(_in_days, DAYS), own.expires_at))
        terms["expires_at"] = None if later is None else clock.as_text(later)
    if random.random() < 0.7 and terms.get("scopes"):
        terms["scopes"] = sorted({*terms["scopes"], "manage_keys"})
    return terms


async def change(
    world: World, random: Random, token: str, own: Held, action: str, target: str
) -> tuple[str, str | None] | None:
    """Create, rotate or update a key, in a request with `token`, a token of the key `own`.

    Returns the id of the created or changed key, and its new token, if it gets one. Returns None if the
    request is refused.
    """
    # REST refuses keys for registered documents, so most of their requests go to the graph.
    surface = random.choices(("graph", "rest"), (5, 1) if own.only_registered else (1, 1))[0]
    caller = Caller(world.auditor.client, token)
    if own.origins is not None:
        caller = caller.with_headers(Origin=sorted(own.origins)[0].replace("*", "one"))
    input: Values = {"overlap_hours": random.choice((0, 24))} if action == "rotate" else {}
    if action != "rotate":
        input = random_terms(random, own)
        if action == "create":
            input |= {"name": "made", "kind": random.choices(KINDS, (2, 6, 2))[0]}
            if input["kind"] != "restricted" and random.random() < 0.8:
                input.pop("scopes", None)
            elif input["kind"] == "restricted":
                input.setdefault("scopes", sorted(word.lower() for word in own.scopes - {"WRITE"}))
    if surface == "graph":
        made = await _by_graph(caller, action, target, input)
    else:
        made = await _by_rest(caller, action, target, input)
    world.seen[action, surface, "refused" if made is None else "done"] += 1
    return made


async def _by_graph(caller: Caller, action: str, target: str, input: Values) -> tuple[str, str | None] | None:
    document = {"create": CREATE, "update": UPDATE, "rotate": ROTATE}[action]
    given: Values = {} if action == "create" else {"id": target}
    given |= {camel_case(name): _as_enum(value) if name in ENUMS else value for name, value in input.items()}
    response = await caller.post(document, input=given)
    assert response.status_code in {200, 401, 403}, response.text
    outcome = (response.json().get("data") or {}).get("outcome")
    if outcome is None:
        assert "errors" in response.json(), response.text
        return None
    if outcome["apiKey"] is None:
        assert outcome["userErrors"]
        assert outcome.get("token") is None
        return None
    return outcome["apiKey"]["id"], outcome.get("token")


def _as_enum(words: str | list[str] | None) -> str | list[str] | None:
    return [word.upper() for word in words] if isinstance(words, list) else words and words.upper()


async def _by_rest(caller: Caller, action: str, target: str, input: Values) -> tuple[str, str | None] | None:
    body = {"apps" if name == "app_slugs" else name: value for name, value in input.items()}
    method, path = {
        "create": ("POST", "/api-keys"),
        "update": ("PATCH", f"/api-keys/{target}"),
        "rotate": ("POST", f"/api-keys/{target}/rotate"),
    }[action]
    response = await caller.rest(method, path, body)
    if not response.is_success:
        assert response.status_code in {401, 403, 404, 409, 422}, response.text
        assert "_live_" not in response.text
        return None
    key = response.json()["data"]
    return key["id"], key.get("key")


@pytest.mark.parametrize("chains", [50, pytest.param(200, marks=pytest.mark.long)])
async def test_no_chain_of_changes_leads_to_more_than_its_first_key_has(world: World, chains: int) -> None:
    for number in range(chains):
        await _run_chain(world, Random(number))

    # Both APIs made and refused changes of every kind.
    every = {
        (action, surface, outcome)
        for action in ("create", "update", "rotate")
        for surface in ("graph", "rest")
        for outcome in ("done", "refused")
    }
    assert set(world.seen) == every
    assert min(world.seen.values()) >= chains / 10, world.seen


async def _run_chain(world: World, random: Random) -> None:
    token = await start_key(world, random)
    start_id = await key_id(world.database, token)
    tokens = {start_id: [token]}
    keys = await world.keys()
    start, log = keys[start_id], []

    for _ in range(STEPS):
        managers = [id for id in tokens if "MANAGE_KEYS" in keys[id].scopes]
        actor = random.choice([*tokens, *3 * managers])
        token, own = random.choice(tokens[actor]), keys[actor]
        action = random.choices(("create", "update", "rotate"), (5, 4, 2))[0]
        target = random.choice([*3 * list(tokens), *world.bystanders])
        made = await change(world, random, token, own, action, target)
        before, keys = keys, await world.keys()
        log.append((action, actor, None if action == "create" else target, made))

        changed = {id for id in keys if keys[id] != before.get(id)}
        if made is None:
            assert changed == set(), log
            continue
        id, new_token = made
        assert changed <= {id}, log
        # A key has no more than the key that changes it, before and after the change.
        for key in filter(None, (before.get(id), keys[id])):
            assert key.excess_over(own) == set(), (log, key, own)
        assert keys[id].excess_over(start) == set(), (log, keys[id], start)
        if new_token is not None:
            tokens.setdefault(id, []).append(new_token)

    for id in tokens:
        assert keys[id].excess_over(start) == set(), (log, keys[id], start)
    async with world.database.write() as session:
        await session.execute(stored.delete().where(stored.c.name.in_(("start", "made"))))
