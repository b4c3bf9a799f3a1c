"""Mutations that are sent again with their idempotency key."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select
from starlette.applications import Starlette

from db.engine import Database
from db.events import events
from db.idempotency import idempotency
from resolvers import idempotency as behaviour
from resolvers.keyring import Algorithm, Keyring, NewSigningKey
from schema.graph import graphql_schema
from tests.factories import (
    Account,
    App,
    Customer,
    make_app,
    make_customer,
    make_key,
    make_license,
)
from tests.schema.conftest import Graph
from tests.statements import Statements

ERRORS = "userErrors { code field }"
CREATE = f"""mutation($input: CreateLicenseInput!, $key: String) {{
  createLicense(input: $input, idempotencyKey: $key) {{ license {{ id status }} {ERRORS} }} }}"""

GET_OR_CREATE = f"""mutation($input: CreateCustomerInput!, $key: String) {{
  getOrCreateCustomer(input: $input, idempotencyKey: $key) {{ created customer {{ id }} {ERRORS} }} }}"""


@pytest.fixture
async def atlas(database: Database, account: Account) -> App:
    return await make_app(database, account, slug="atlas")


@pytest.fixture
async def lena(database: Database, atlas: App) -> Customer:
    return await make_customer(database, atlas, email="lena@orbit.example")


async def sent(graph: Graph, query: str, header: str | None = None, **variables: Any) -> Any:
    """Send a document with `header` as its Idempotency-Key, and return the response as parsed JSON."""
    headers = {} if header is None else {"Idempotency-Key": header}
    return (await graph.post(query, variables, **headers)).json()


def replayed(answer: Any) -> list[str]:
    found: list[str] = answer["extensions"].get("idempotency", {}).get("replayed", [])
    return found


async def count_events(database: Database) -> int:
    async with database.read() as session:
        row = await session.row(select(func.count()).select_from(events), {})
    assert row is not None
    return int(row[0])


async def test_every_mutation_takes_a_key() -> None:
    assert graphql_schema.mutation_type is not None
    for name, field in graphql_schema.mutation_type.fields.items():
        assert list(field.args) == ["input", "idempotencyKey"], name
        assert str(field.args["idempotencyKey"].type) == "String", name


async def test_a_repeated_mutation_has_its_effect_once(
    graph: Graph, database: Database, lena: Customer
) -> None:
    order = {"customerId": lena.id, "forever": True}

    first = await sent(graph, CREATE, input=order, key="order-1")
    recorded = await count_events(database)
    again = await sent(graph, CREATE, input=order, key="order-1")
    other = await sent(graph, CREATE, input=order, key="order-2")

    assert again["data"] == first["data"]
    assert (replayed(first), replayed(again), replayed(other)) == ([], ["createLicense"], [])
    assert other["data"]["createLicense"]["license"]["id"] != first["data"]["createLicense"]["license"]["id"]
    assert await count_events(database) == recorded + 1


async def test_a_call_that_changes_nothing_is_stored_too(
    app: Starlette, graph: Graph, statements: Statements, lena: Customer
) -> None:
    found = {"appSlug": "atlas", "email": "lena@orbit.example"}

    with statements.recorded(app.state.database) as ran:
        first = await sent(graph, GET_OR_CREATE, input=found, key="order-1")
    again = await sent(graph, GET_OR_CREATE, input=found, key="order-1")
    other = await sent(graph, GET_OR_CREATE, input={**found, "email": "max@orbit.example"}, key="order-1")

    assert [each for each in ran if "idempotency" in each] == ran[-1:], "one statement stores the outcome"
    assert (
        first["data"]
        == again["data"]
        == {"getOrCreateCustomer": {"created": False, "customer": {"id": lena.id}, "userErrors": []}}
    )
    assert (replayed(first), replayed(again)) == ([], ["getOrCreateCustomer"])
    assert other["errors"][0]["extensions"]["code"] == "IDEMPOTENCY_MISMATCH"


async def test_a_replay_reads_the_object_as_it_is_now(
    graph: Graph, database: Database, lena: Customer
) -> None:
    order = {"customerId": lena.id, "forever": True}
    first = await sent(graph, CREATE, input=order, key="order-1")
    id = first["data"]["createLicense"]["license"]["id"]
    await graph.data(f'mutation {{ revokeLicense(input: {{id: "{id}"}}) {{ {ERRORS} }} }}')

    revoked = await sent(graph, CREATE, input=order, key="order-1")
    await graph.data(f'mutation {{ deleteLicense(input: {{id: "{id}"}}) {{ {ERRORS} }} }}')
    deleted = await sent(graph, CREATE, input=order, key="order-1")

    assert revoked["data"]["createLicense"] == {"license": {"id": id, "status": "REVOKED"}, "userErrors": []}
    assert deleted["data"]["createLicense"] == {"license": None, "userErrors": []}


async def test_the_key_of_a_field_is_the_header_and_its_response_key(
    graph: Graph, database: Database, atlas: App
) -> None:
    """The second mutation is refused, and then it is fixed. The first one is not done again."""
    document = f"""mutation($first: CreateCustomerInput!, $second: CreateCustomerInput!) {{
      one: createCustomer(input: $first) {{ customer {{ id email }} {ERRORS} }}
      two: createCustomer(input: $second) {{ customer {{ id email }} {ERRORS} }} }}"""
    ada, bob = ({"appSlug": "atlas", "email": f"{name}@orbit.example"} for name in ("ada", "bob"))

    refused = await sent(graph, document, "import-1", first=ada, second={**bob, "email": "bob"})
    fixed = await graph.post(document, {"first": ada, "second": bob}, **{"Idempotency-Key": "import-1"})
    again = await graph.post(document, {"first": ada, "second": bob}, **{"Idempotency-Key": "import-1"})

    assert refused["data"]["two"]["userErrors"] == [{"code": "INVALID", "field": ["email"]}]
    assert fixed.json()["data"]["one"] == refused["data"]["one"]
    assert fixed.json()["data"]["two"]["customer"]["email"] == "bob@orbit.example"
    assert (replayed(refused), replayed(fixed.json())) == ([], ["one"])
    assert "idempotency-replayed" not in fixed.headers
    assert replayed(again.json()) == ["one", "two"]
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["data"] == fixed.json()["data"]


async def test_another_input_is_a_mismatch(graph: Graph, lena: Customer) -> None:
    order = {"customerId": lena.id, "forever": True}
    await sent(graph, CREATE, input=order, key="order-1")

    answer = await sent(graph, CREATE, input={**order, "metadata": {"seats": 2}}, key="order-1")
    null = await sent(graph, CREATE, input={**order, "tierId": None}, key="order-1")

    for each in (answer, null):
        assert each["data"] == {"createLicense": None}
        assert [error["extensions"]["code"] for error in each["errors"]] == ["IDEMPOTENCY_MISMATCH"]
        assert [error["path"] for error in each["errors"]] == [["createLicense"]]


async def test_the_spelling_of_the_input_does_not_matter(graph: Graph, lena: Customer) -> None:
    first = await sent(graph, CREATE, input={"customerId": lena.id, "durationDays": 30}, key="order-1")
    again = await sent(
        graph,
        f"""mutation {{ createLicense(idempotencyKey: "order-1", input: {{
          durationDays: 30, customerId: "{lena.id}" }}) {{ license {{ status, id }} }} }}""",
    )

    assert replayed(again) == ["createLicense"]
    license = first["data"]["createLicense"]["license"]
    assert again["data"]["createLicense"]["license"] == {"status": "ACTIVE", "id": license["id"]}


@pytest.mark.parametrize("key", ["", " ", "a b", "\xe9", "x" * 256, '"open'])
async def test_a_key_of_another_form_is_refused(graph: Graph, lena: Customer, key: str) -> None:
    order = {"customerId": lena.id, "forever": True}

    answer = await sent(graph, CREATE, input=order, key=key)
    headers = {b"Idempotency-Key": key.encode("latin-1"), b"Authorization": f"Bearer {graph.token}".encode()}
    body = {"query": CREATE, "variables": {"input": order}}
    response = await graph.client.post("/graphql", json=body, headers=headers)

    form = "must be 1 to 255 visible ASCII characters, in quotes or not"
    (error,) = answer["errors"]
    message = f"createLicense: idempotencyKey {form}"
    assert (error["extensions"]["code"], error["message"]) == ("BAD_USER_INPUT", message)
    assert "data" not in answer
    (error,) = response.json()["errors"]
    assert (error["extensions"]["code"], error["message"]) == ("BAD_USER_INPUT", f"Idempotency-Key {form}.")
    assert response.status_code == 400


async def test_a_query_ignores_the_key(graph: Graph) -> None:
    response = await graph.post("{ viewer { accountName } }", None, **{"Idempotency-Key": ""})

    assert response.status_code == 200
    assert "errors" not in response.json()


async def test_every_outcome_is_repeated(graph: Graph, database: Database, lena: Customer) -> None:
    """Counts, `created`, and secrets that are shown once."""
    license = await make_license(database, lena)
    text = "query Name { viewer { accountName } }"
    calls = {
        'getOrCreateCustomer(input: {appSlug: "atlas", email: "n@orbit.example"}': "created customer { id }",
        f'createCustomerSession(input: {{customerId: "{lena.id}"}}': "session { token expiresAt }",
        'createApiKey(input: {name: "crm", kind: SECRET}': "token apiKey { id }",
        f'registerDocuments(input: {{set: "a", documents: [{{text: "{text}"}}]}}': "added documents { id }",
        'deleteDocumentSet(input: {set: "a"}': "deletedDocumentCount",
        'rotateAppKeys(input: {appSlug: "atlas"}': "licensesResigned app { publicKeyPem }",
        f'regenerateLicense(input: {{id: "{license.id}"}}': "license { jti token }",
        f'deleteCustomer(input: {{id: "{lena.id}"}}': "deletedCustomerId deletedLicenseCount",
        'createApp(input: {name: "Nova", slug: "nova"}': "app { id publicKeyPem }",
        'deleteApp(input: {slug: "atlas"}': "deletedAppId deletedCustomerCount",
    }

    for call, shown in calls.items():
        name, query = call.partition("(")[0], f'mutation {{ {call}, idempotencyKey: "k") {{ {shown} }} }}'
        first = await sent(graph, query)
        recorded = await count_events(database)
        again = await sent(graph, query)

        assert "errors" not in first, first
        assert replayed(first) == [], name
        assert replayed(again) == [name]
        assert again["data"] == first["data"], name
        assert all(value not in (None, 0, False) for value in first["data"][name].values()), first
        assert await count_events(database) == recorded, name


async def test_an_exchange_of_a_token_ignores_the_key(graph: Graph, lena: Customer) -> None:
    order = {"customerId": lena.id, "forever": True}
    license = (await sent(graph, CREATE, input=order))["data"]["createLicense"]["license"]
    (license,) = (await graph.data('{ app(slug: "atlas") { licenses { nodes { id token } } } }'))["app"][
        "licenses"
    ]["nodes"]
    renew = """mutation($token: String!) { regenerateLicense(
      input: {currentToken: $token}, idempotencyKey: "k") { license { jti } } }"""

    for each in (graph, graph.with_token(None)):
        answers = [await sent(each, renew, token=license["token"]) for _ in range(2)]
        assert [replayed(answer) for answer in answers] == [[], []]
        jtis = {answer["data"]["regenerateLicense"]["license"]["jti"] for answer in answers}
        assert len(jtis) == 2


async def test_a_first_call_that_runs_too_long(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, make = asyncio.Event(), Keyring.make

    async def make_later(keyring: Keyring, algorithm: Algorithm) -> NewSigningKey:
        await gate.wait()
        return await make(keyring, algorithm)

    monkeypatch.setattr(Keyring, "make", make_later)
    monkeypatch.setattr(behaviour, "WAIT_S", 0.1)
    document = """mutation { createApp(input: {name: "Nova", slug: "nova"}, idempotencyKey: "k") {
      app { slug } } }"""

    first = asyncio.create_task(sent(graph, document))
    await asyncio.sleep(0.05)
    early = await sent(graph, document)
    monkeypatch.setattr(behaviour, "WAIT_S", 1)
    gate.set()
    done = await first

    assert early["data"] == {"createApp": None}
    assert [error["extensions"]["code"] for error in early["errors"]] == ["IDEMPOTENCY_IN_PROGRESS"]
    assert done["data"] == {"createApp": {"app": {"slug": "nova"}}}


async def test_a_replay_checks_the_scope_and_what_is_selected(
    graph: Graph, database: Database, account: Account, lena: Customer
) -> None:
    scopes = ["read", "write_licenses"]
    own = graph.with_token(await make_key(database, account, kind="restricted", scopes=scopes))
    order = {"customerId": lena.id, "forever": True}
    document = CREATE.replace("status", "customer { email }")
    await sent(own, CREATE, input=order, key="order-1")

    answer = await sent(own, document, input=order, key="order-1")

    assert answer["data"] == {"createLicense": None}
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]


async def test_a_stolen_database_shows_no_secret(graph: Graph, database: Database) -> None:
    answer = await sent(
        graph, 'mutation { createApiKey(input: {name: "crm", kind: SECRET}, idempotencyKey: "k") { token } }'
    )

    async with database.read() as session:
        (row,) = await session.rows(select(idempotency), {})
    kept = b"".join(each if isinstance(each, bytes) else str(each).encode() for each in row)
    assert answer["data"]["createApiKey"]["token"].encode() not in kept
