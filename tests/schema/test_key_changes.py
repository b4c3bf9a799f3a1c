"""API keys are created, changed, rotated and revoked, and no key gives more than it has."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from asgi import authentication
from db import clock
from db.engine import Database
from db.keys import keys
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
from tests.schema.conftest import Graph

SHOWN = """apiKey { id kind name prefix last4 scopes apps { slug } origins documents documentSets expiresAt
                    revokedAt createdBy { id } } userErrors { code field message }"""
CREATE = (
    f"mutation ($input: CreateApiKeyInput!) {{ outcome: createApiKey(input: $input) {{ {SHOWN} token }} }}"
)
UPDATE = f"mutation ($input: UpdateApiKeyInput!) {{ outcome: updateApiKey(input: $input) {{ {SHOWN} }} }}"
ROTATE = (
    f"mutation ($input: RotateApiKeyInput!) {{ outcome: rotateApiKey(input: $input) {{ {SHOWN} token }} }}"
)
REVOKE = f"mutation ($input: RevokeApiKeyInput!) {{ outcome: revokeApiKey(input: $input) {{ {SHOWN} }} }}"
KINDS = "secret, public, restricted"
LAST = "is the last secret key without an expiry or a limit: it cannot be revoked or limited"


@pytest.fixture(autouse=True)
def no_cached_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look up keys in every request, so that a change takes effect at once."""
    monkeypatch.setattr(authentication, "CACHED_SECONDS", 0)


@pytest.fixture
async def own(graph: Graph, database: Database) -> str:
    """The id of the account's first secret key."""
    return await key_id(database, graph.token or "")


async def apps_of(database: Database, account: Account, *slugs: str) -> Sequence[App]:
    return [await make_app(database, account, slug=slug) for slug in slugs]


async def run(graph: Graph, mutation: str, **input: Any) -> Any:
    return (await graph.data(mutation, input=input))["outcome"]


async def made(graph: Graph, **input: Any) -> Any:
    outcome = await run(graph, CREATE, **{"name": "New", **input})
    assert outcome["userErrors"] == []
    return outcome


async def errors(graph: Graph, mutation: str, **input: Any) -> list[tuple[str, str, str]]:
    outcome = await run(graph, mutation, **input)
    assert outcome["apiKey"] is None
    assert outcome.get("token") is None
    return [(each["code"], ".".join(each["field"]), each["message"]) for each in outcome["userErrors"]]


async def works(graph: Graph, token: str) -> bool:
    return (await graph.with_token(token).post("{ __typename }")).status_code == 200


def in_days(days: int) -> str:
    return clock.as_text(clock.now() + timedelta(days=days))


# Creating


async def test_a_restricted_key_with_every_limit(
    graph: Graph, database: Database, account: Account, own: str
) -> None:
    await apps_of(database, account, "atlas", "bolt")
    end = in_days(30)

    outcome = await made(
        graph, kind="RESTRICTED", name="CRM", scopes=["WRITE_CUSTOMERS", "READ", "READ"], appSlugs=["atlas"],
        origins=["HTTPS://Portal.Example:443"], documents="REGISTERED", documentSets=["portal@1.4.2"],
        expiresAt=end,
    )  # fmt: skip

    token = outcome["token"]
    assert outcome["apiKey"] == {
        "id": await key_id(database, token),
        "kind": "RESTRICTED",
        "name": "CRM",
        "prefix": "rk_live_",
        "last4": token[-4:],
        "scopes": ["READ", "WRITE_CUSTOMERS"],
        "apps": [{"slug": "atlas"}],
        "origins": ["https://portal.example"],
        "documents": "REGISTERED",
        "documentSets": ["portal@1.4.2"],
        "expiresAt": end,
        "revokedAt": None,
        "createdBy": {"id": own},
    }
    assert len(token) == len("rk_live_") + 32


@pytest.mark.parametrize(
    ("input", "scopes", "documents"),
    [
        ({"kind": "PUBLIC"}, ["READ"], "REGISTERED"),
        ({"kind": "PUBLIC", "documents": "ANY", "scopes": ["READ_CUSTOMERS"]}, ["READ_CUSTOMERS"], "ANY"),
        ({"kind": "RESTRICTED", "scopes": ["MANAGE_KEYS"]}, ["MANAGE_KEYS"], "ANY"),
    ],
)
async def test_terms_that_are_left_out_have_defaults(
    graph: Graph, input: dict[str, Any], scopes: list[str], documents: str
) -> None:
    key = (await made(graph, **input))["apiKey"]

    assert (key["scopes"], key["documents"]) == (scopes, documents)
    limits = ("apps", "origins", "documentSets", "expiresAt")
    assert [key[limit] for limit in limits] == [None] * 4


async def test_a_secret_key_works_like_its_creator(graph: Graph) -> None:
    outcome = await made(graph, kind="SECRET")

    assert outcome["apiKey"]["scopes"][-1] == "MANAGE_WEBHOOKS"
    assert (await made(graph.with_token(outcome["token"]), kind="SECRET"))["token"].startswith("sk_live_")


@pytest.mark.parametrize(
    ("input", "expected"),
    [
        (
            {"kind": "SESSION"},
            (
                "INVALID",
                "kind",
                "must be one of: secret, public, restricted: a session is created for a customer",
            ),
        ),
        ({"kind": "SECRET", "name": " "}, ("BLANK", "name", "can't be blank")),
        ({"kind": "RESTRICTED"}, ("BLANK", "scopes", "can't be blank")),
        ({"kind": "RESTRICTED", "scopes": []}, ("BLANK", "scopes", "can't be blank")),
        ({"kind": "PUBLIC", "scopes": []}, ("BLANK", "scopes", "can't be blank")),
        (
            {"kind": "SECRET", "scopes": ["READ"]},
            ("INVALID", "scopes", "cannot be narrowed: a secret key has every scope"),
        ),
        (
            {"kind": "RESTRICTED", "scopes": ["WRITE"]},
            ("INVALID", "scopes", "cannot include write in a restricted key"),
        ),
        (
            {"kind": "PUBLIC", "scopes": ["READ", "READ_TOKENS"]},
            ("INVALID", "scopes", "cannot include read_tokens in a public key"),
        ),
        (
            {"kind": "SECRET", "appSlugs": []},
            ("INVALID", "appSlugs", "needs at least one app; null stands for every app"),
        ),
        (
            {"kind": "SECRET", "appSlugs": ["a"] * 51},
            ("INVALID", "appSlugs", "has too many apps (maximum is 50)"),
        ),
        (
            {"kind": "SECRET", "appSlugs": ["other", "no app", "\0"]},
            ("INVALID", "appSlugs.2", "must not contain NUL or lone surrogates"),
        ),
        (
            {"kind": "SECRET", "appSlugs": ["other", "nowhere"]},
            ("NOT_FOUND", "appSlugs", "do not all exist: other, nowhere"),
        ),
        (
            {"kind": "SECRET", "origins": [f"https://{number}.example" for number in range(21)]},
            ("INVALID", "origins", "has too many origins (maximum is 20)"),
        ),
        (
            {"kind": "SECRET", "documentSets": ["a b"]},
            ("INVALID", "documentSets", "must have names of 1 to 64 letters, digits and . _ @ / -"),
        ),
        (
            {"kind": "SECRET", "documentSets": []},
            ("INVALID", "documentSets", "needs at least one set; null stands for every set"),
        ),
        (
            {"kind": "SECRET", "expiresAt": "2026-01-01T00:00:00Z"},
            ("INVALID", "expiresAt", "must be in the future"),
        ),
    ],
)
async def test_an_error_names_the_wrong_field(
    graph: Graph, database: Database, input: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    await make_app(database, await make_account(database), slug="other")

    assert await errors(graph, CREATE, **{"name": "New", **input}) == [expected]


# What a key can grant


async def test_a_key_grants_only_what_it_has_and_hands_on_its_limits(
    graph: Graph, database: Database, account: Account
) -> None:
    await apps_of(database, account, "atlas", "bolt")
    end = in_days(10)
    manager = graph.with_token(
        (
            await made(
                graph, kind="RESTRICTED", scopes=["READ", "MANAGE_KEYS"], appSlugs=["atlas"], expiresAt=end
            )
        )["token"]
    )
    new = {"name": "New", "kind": "RESTRICTED", "scopes": ["READ"]}

    key = (await made(manager, **new))["apiKey"]

    assert (key["apps"], key["expiresAt"]) == ([{"slug": "atlas"}], end)
    assert await errors(manager, CREATE, name="New", kind="SECRET") == [
        ("INVALID", "kind", "can only be secret if the key of the request is secret, too")
    ]
    lacking = ("INVALID", "scopes", "cannot include read_customers: the key of the request lacks it")
    assert await errors(manager, CREATE, **{**new, "scopes": ["READ", "READ_CUSTOMERS"]}) == [lacking]
    assert await errors(manager, CREATE, **{**new, "kind": "PUBLIC", "scopes": ["READ_CUSTOMERS"]}) == [
        lacking
    ]
    assert await errors(manager, CREATE, **new, appSlugs=["bolt"]) == [
        ("NOT_FOUND", "appSlugs", "do not all exist: bolt")
    ]
    later = ("INVALID", "expiresAt", f"must not be after {end}, when the key of the request expires")
    assert await errors(manager, CREATE, **new, expiresAt=in_days(11)) == [later]
    assert await errors(manager, UPDATE, id=key["id"], scopes=["READ_CUSTOMERS"]) == [lacking]
    assert await errors(manager, UPDATE, id=key["id"], expiresAt=in_days(11)) == [later]
    cleared = await run(manager, UPDATE, id=key["id"], appSlugs=None, expiresAt=None)
    assert (cleared["apiKey"]["apps"], cleared["apiKey"]["expiresAt"]) == ([{"slug": "atlas"}], end)


async def test_a_key_hands_on_its_origins(graph: Graph, database: Database, account: Account) -> None:
    origins = ["https://portal.example", "https://*.preview.example"]
    manager = await make_key(
        database, account, kind="restricted", scopes=["read", "manage_keys"], origins=origins
    )
    new = {"name": "New", "kind": "RESTRICTED", "scopes": ["READ"]}

    async def asked(mutation: str, **input: Any) -> tuple[Any, Any]:
        response = await graph.with_token(manager).post(mutation, {"input": input}, Origin=origins[0])
        outcome = response.json()["data"]["outcome"]
        return outcome["apiKey"] and outcome["apiKey"]["origins"], outcome["userErrors"]

    wrong = "has an origin that the key of the request does not have"
    lacking = (None, [{"code": "INVALID", "field": ["origins"], "message": wrong}])
    within = [origins, ["https://a.preview.example"], ["https://*.preview.example"]]
    beyond = [["https://*.portal.example"], ["https://a.b.preview.example"], [*origins, "https://x.example"]]
    assert await asked(CREATE, **new) == (origins, [])
    assert await asked(CREATE, **new, origins=None) == (origins, [])
    assert [await asked(CREATE, **new, origins=each) for each in within] == [(each, []) for each in within]
    assert [await asked(CREATE, **new, origins=each) for each in beyond] == [lacking] * 3
    key = await make_key(database, account, kind="restricted", scopes=["read"], origins=within[1])
    id = await key_id(database, key)
    assert [await asked(UPDATE, id=id, origins=each) for each in beyond] == [lacking] * 3
    assert await asked(UPDATE, id=id, origins=None) == (origins, [])


async def test_a_key_for_registered_documents_hands_this_on(
    graph: Graph, database: Database, account: Account
) -> None:
    for text in (CREATE, UPDATE):
        await make_document(database, account, text=text, set="a")
    new = {"name": "New", "kind": "RESTRICTED", "scopes": ["READ"]}
    terms: dict[str, Any] = {
        "kind": "restricted",
        "scopes": ["read", "manage_keys"],
        "documents": "registered",
    }
    manager, limited = [
        graph.with_token(await make_key(database, account, **terms, document_sets=sets))
        for sets in (None, ["a", "b"])
    ]
    id = await key_id(database, await make_key(database, account, **{**terms, "document_sets": ["a"]}))

    async def of(by: Graph, **input: Any) -> tuple[str, Any]:
        key = (await made(by, **new, **input))["apiKey"]
        return key["documents"], key["documentSets"]

    must = (
        "INVALID", "documents", "must be registered: the key of the request only sends registered documents"
    )  # fmt: skip
    lacking = ("INVALID", "documentSets", "has a set that the key of the request does not have")
    assert await of(manager) == ("REGISTERED", None)
    assert await of(manager, documentSets=["c"]) == ("REGISTERED", ["c"])
    assert await of(limited) == ("REGISTERED", ["a", "b"])
    assert await of(limited, documentSets=["b"]) == ("REGISTERED", ["b"])
    for mutation, input in ((CREATE, new), (UPDATE, {"id": id})):
        assert await errors(manager, mutation, **input, documents="ANY") == [must]
        assert await errors(limited, mutation, **input, documents="ANY") == [must]
        assert await errors(limited, mutation, **input, documentSets=["a", "c"]) == [lacking]
    cleared = (await run(limited, UPDATE, id=id, documentSets=None))["apiKey"]
    assert (cleared["documents"], cleared["documentSets"]) == ("REGISTERED", ["a", "b"])


async def test_keys_that_have_more_are_not_found(
    graph: Graph, database: Database, account: Account, own: str
) -> None:
    atlas, bolt = await apps_of(database, account, "atlas", "bolt")
    soon, later = [clock.now() + timedelta(days=days) for days in (10, 20)]
    for text in (UPDATE, ROTATE, REVOKE):
        await make_document(database, account, text=text, set="a")
    graph.client.headers["Origin"] = "https://a.example"
    manager = graph.with_token(
        await make_key(
            database, account, kind="restricted", scopes=["read", "manage_keys"], apps=[atlas],
            expires_at=soon, documents="registered", document_sets=["a"], origins=["https://a.example"],
        )
    )  # fmt: skip
    within: dict[str, Any] = {
        "kind": "restricted", "scopes": ["read"], "apps": [atlas], "expires_at": soon,
        "documents": "registered", "document_sets": ["a"], "origins": ["https://a.example"],
    }  # fmt: skip
    beyond: list[dict[str, Any]] = [
        {"scopes": ["read", "read_customers"]},
        {"apps": [bolt]},
        {"apps": [atlas, bolt]},
        {"apps": None},
        {"expires_at": later},
        {"expires_at": None},
        {"kind": "secret"},
        {"kind": "public", "scopes": None},
        {"origins": None},
        {"origins": ["https://b.example"]},
        {"documents": "any"},
        {"document_sets": None},
        {"document_sets": ["a", "b"]},
    ]
    ids = [own, await key_id(database, await make_key(database, await make_account(database)))]
    ids += [
        await key_id(database, await make_key(database, account, **{**within, **each})) for each in beyond
    ]

    for id in [*ids, "key_01h455vb4pex5vsknk084sn02q", "nonsense", "\0"]:
        for mutation in (UPDATE, ROTATE, REVOKE):
            assert await errors(manager, mutation, id=id) == [("NOT_FOUND", "id", "does not exist")], id

    same = await key_id(database, await make_key(database, account, **within))
    assert (await run(manager, UPDATE, id=same, name="Mine"))["apiKey"]["name"] == "Mine"


async def test_managing_keys_needs_the_scope(graph: Graph, database: Database, account: Account) -> None:
    for kind, scopes in (("public", None), ("restricted", ["read", "write_catalog"])):
        other = graph.with_token(await make_key(database, account, kind=kind, scopes=scopes))
        for mutation, input in (
            (CREATE, {"kind": "PUBLIC", "name": "New"}),
            (UPDATE, {"id": "key_1"}),
            (ROTATE, {"id": "key_1"}),
            (REVOKE, {"id": "key_1"}),
        ):
            code, _ = await other.refusal(mutation, input=input)
            assert code == "FORBIDDEN"


# Changing


async def test_a_change_keeps_what_is_left_out(graph: Graph, database: Database, account: Account) -> None:
    await apps_of(database, account, "atlas", "bolt")
    before = (
        await made(
            graph, kind="RESTRICTED", scopes=["READ"], appSlugs=["atlas"], origins=["https://a.example"],
            documents="REGISTERED", documentSets=["a"], expiresAt=in_days(5),
        )
    )["apiKey"]  # fmt: skip
    id = before["id"]

    assert (await run(graph, UPDATE, id=id))["apiKey"] == before
    named = (await run(graph, UPDATE, id=id, name="Other", scopes=["READ_TOKENS", "READ"]))["apiKey"]
    assert named == {**before, "name": "Other", "scopes": ["READ", "READ_TOKENS"]}
    open = (
        await run(
            graph, UPDATE, id=id, appSlugs=None, origins=None, documents="ANY", documentSets=None,
            expiresAt=None,
        )
    )["apiKey"]  # fmt: skip
    nothing = dict.fromkeys(("apps", "origins", "documentSets", "expiresAt"))
    assert open == {**named, **nothing, "documents": "ANY"}
    for field in ("name", "scopes", "documents"):
        assert await errors(graph, UPDATE, id=id, **{field: None}) == [("BLANK", field, "can't be blank")]


async def test_sessions_and_revoked_keys_can_only_be_revoked(
    graph: Graph, database: Database, account: Account
) -> None:
    customer = await make_customer(database, await make_app(database, account))
    session = await key_id(
        database, await make_key(database, account, kind="session", scopes=["read"], customer=customer)
    )
    revoked = (await made(graph, kind="PUBLIC"))["apiKey"]["id"]
    expired = await key_id(
        database, await make_key(database, account, expires_at=clock.now() - timedelta(days=1))
    )
    once = await run(graph, REVOKE, id=revoked)

    for mutation in (UPDATE, ROTATE):
        assert await errors(graph, mutation, id=revoked) == [("WRONG_STATE", "id", "is revoked")]
        is_session = ("WRONG_STATE", "id", "is a session, which can only be revoked")
        assert await errors(graph, mutation, id=session) == [is_session]
    assert await errors(graph, ROTATE, id=expired) == [("WRONG_STATE", "id", "has expired")]
    assert await run(graph, REVOKE, id=revoked) == once
    assert (await run(graph, REVOKE, id=session))["apiKey"]["revokedAt"] is not None


# Rotating


async def test_the_previous_token_works_during_the_overlap(graph: Graph, database: Database) -> None:
    first = await made(graph, kind="PUBLIC", documents="ANY")
    id = first["apiKey"]["id"]

    second = await run(graph, ROTATE, id=id, overlapHours=1)

    assert second["apiKey"] == {**first["apiKey"], "last4": second["token"][-4:]}
    assert [await works(graph, each["token"]) for each in (first, second)] == [True, True]
    await _end_overlap(database, id)
    assert [await works(graph, each["token"]) for each in (first, second)] == [False, True]


async def _end_overlap(database: Database, id: str) -> None:
    async with database.write() as session:
        await session.execute(keys.update().where(keys.c.id == id).values(previous_until=clock.now()))


async def test_a_second_rotation_ends_the_first_overlap(graph: Graph) -> None:
    first = await made(graph, kind="PUBLIC", documents="ANY")
    id = first["apiKey"]["id"]

    second = await run(graph, ROTATE, id=id)
    third = await run(graph, ROTATE, id=id, overlapHours=168)
    assert [await works(graph, each["token"]) for each in (first, second, third)] == [False, True, True]
    fourth = await run(graph, ROTATE, id=id, overlapHours=0)

    tokens = [each["token"] for each in (first, second, third, fourth)]
    assert [await works(graph, token) for token in tokens] == [False, False, False, True]


@pytest.mark.parametrize(
    ("hours", "bound"), [(-1, "greater than or equal to 0"), (169, "less than or equal to 168")]
)
async def test_an_overlap_has_bounds(graph: Graph, own: str, hours: int, bound: str) -> None:
    wrong = ("INVALID", "overlapHours", f"must be {bound}")
    assert await errors(graph, ROTATE, id=own, overlapHours=hours) == [wrong]


# Revoking, and the last secret key


async def test_a_revoked_key_stops_working(graph: Graph) -> None:
    outcome = await made(graph, kind="PUBLIC")
    rotated = await run(graph, ROTATE, id=outcome["apiKey"]["id"])

    revoked = await run(graph, REVOKE, id=outcome["apiKey"]["id"])

    assert revoked["apiKey"]["revokedAt"] is not None
    assert [await works(graph, each["token"]) for each in (outcome, rotated)] == [False, False]


async def test_the_last_secret_key_without_an_expiry_or_a_limit_stays(
    graph: Graph, database: Database, account: Account, own: str
) -> None:
    await make_app(database, account, slug="atlas")
    await make_key(database, account, expires_at=clock.now() + timedelta(days=1))
    await make_key(database, account, revoked_at=clock.now())
    await make_key(database, await make_account(database))
    await make_key(database, account, origins=["https://a.example"])
    await make_key(database, account, documents="registered")
    await make_key(database, account, apps=[])
    last = [("WRONG_STATE", "id", LAST)]

    assert await errors(graph, REVOKE, id=own) == last
    for limit in (
        {"expiresAt": in_days(1)},
        {"appSlugs": ["atlas"]},
        {"origins": ["https://a.example"]},
        {"documents": "REGISTERED"},
    ):
        assert await errors(graph, UPDATE, id=own, **limit) == last, limit
    assert (await run(graph, UPDATE, id=own, name="Last", expiresAt=None))["userErrors"] == []
    assert (await run(graph, ROTATE, id=own, overlapHours=1))["userErrors"] == []

    other = await made(graph, kind="SECRET")
    assert (await run(graph.with_token(other["token"]), REVOKE, id=own))["userErrors"] == []


async def test_of_two_revocations_at_once_one_fails(
    graph: Graph, database: Database, account: Account, own: str
) -> None:
    for _ in range(5):
        other = await made(graph, kind="SECRET")
        pair = {own: graph, other["apiKey"]["id"]: graph.with_token(other["token"])}

        # Each key revokes itself.
        outcomes = await asyncio.gather(*(run(by, REVOKE, id=id) for id, by in pair.items()))

        codes = [error["code"] for each in outcomes for error in each["userErrors"]]
        assert codes == ["WRONG_STATE"]
        async with database.read() as session:
            ((own,),) = await session.rows(select(keys.c.id).where(keys.c.revoked_at.is_(None)), {})
        graph = pair[own]
