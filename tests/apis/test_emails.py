"""In both APIs, all spellings of an email identify the same customer."""

import unicodedata

import pytest

from db import ids
from db.customers import customers
from db.engine import Database
from tests.apis.both import (
    BY_GRAPH,
    BY_REST,
    CREATE,
    CUSTOMER,
    DELETE,
    GET_OR_CREATE,
    UPDATE,
    BothApis,
    as_rest,
)
from tests.factories import Account, Customer, make_app, make_customer
from tests.rest.expecting import error, stored, taken

SPELLINGS = [
    "a@bücher.example",
    "a@xn--bcher-kva.example",
    "a@BÜCHER.example",
    unicodedata.normalize("NFD", "a@bücher.example"),
    "A@bücher。example",
    " a@XN--BCHER-KVA.example\n",
]
EXISTING = [
    "try..this..0511@docomo.ne.jp",
    "x.@ezweb.ne.jp",
    ".abc@ezweb.ne.jp",
    "a@exa_mple.com",
    "a@[192.168.0.1]",
    '"quoted local"@x.example',
]
IMPOSSIBLE = ["Jane <a@x>", "a@b@x.example", "a b@x.example", "a@x y.example", "a,b@x.example", "a@x,y"]

CUSTOMERS = f"/apps/{BY_REST}/customers"
BY = f'query ($by: CustomerRef!) {{ app(slug: "{BY_REST}") {{ customer(by: $by) {{ {CUSTOMER} }} }} }}'
LIST = f"""query ($filter: CustomerFilter) {{ app(slug: "{BY_REST}") {{
  customers(filter: $filter) {{ totalCount nodes {{ id }} }} }} }}"""


@pytest.mark.parametrize("written", SPELLINGS)
async def test_spellings_of_one_email_are_one_customer(
    apis: BothApis, database: Database, written: str
) -> None:
    made = (await apis.rest("POST", CUSTOMERS, {"email": written})).json()["data"]
    assert made["email"] == written.strip()

    for email in SPELLINGS:
        refused = await apis.mutate(CREATE, appSlug=BY_REST, email=email)
        assert [(each["code"], each["field"]) for each in refused["userErrors"]] == [("TAKEN", ["email"])]
        assert error(await apis.rest("POST", CUSTOMERS, {"email": email})) == taken("email")

        got = await apis.mutate(GET_OR_CREATE, appSlug=BY_REST, email=email)
        assert (got["created"], as_rest(got["customer"])) == (False, made)
        by_rest = await apis.rest("POST", f"{CUSTOMERS}/get-or-create", {"email": email})
        assert (by_rest.status_code, by_rest.json()["data"]) == (200, made)

        assert as_rest((await apis.graph(BY, by={"email": email}))["app"]["customer"]) == made
        assert await apis.rest_data(f"{CUSTOMERS}/by-email", email=email) == made
    assert len(await stored(database, customers)) == 1


async def test_an_email_can_be_changed_to_another_spelling(apis: BothApis, database: Database) -> None:
    made = (await apis.rest("POST", CUSTOMERS, {"email": SPELLINGS[0]})).json()["data"]
    other = await apis.mutate(CREATE, appSlug=BY_REST, email="b@x.example")

    for email in SPELLINGS:
        changed = await apis.rest("PUT", f"{CUSTOMERS}/{made['id']}", {"email": email})
        assert (changed.status_code, changed.json()["data"]["email"]) == (200, email.strip())
        refused = await apis.mutate(UPDATE, id=other["customer"]["id"], email=email)
        assert [(each["code"], each["field"]) for each in refused["userErrors"]] == [("TAKEN", ["email"])]

    await apis.rest("PUT", f"{CUSTOMERS}/{made['id']}", {"email": "c@x.example"})
    freed = await apis.mutate(UPDATE, id=other["customer"]["id"], email=SPELLINGS[1])
    assert freed["userErrors"] == []


async def test_customers_are_listed_by_any_part_of_the_stored_email(apis: BothApis) -> None:
    made = (await apis.rest("POST", CUSTOMERS, {"email": "Ada@BÜCHER.example"})).json()["data"]

    for part, total in (("ada@bücher.example", 1), ("BÜCH", 1), (" bücher.example\n", 1), ("nobody", 0)):
        listed = await apis.rest("GET", CUSTOMERS, email=part)
        by_graph = (await apis.graph(LIST, filter={"email": part}))["app"]["customers"]
        assert listed.json()["meta"]["total"] == by_graph["totalCount"] == total, part
        assert [each["id"] for each in by_graph["nodes"]] == [made["id"]][:total]


async def test_an_email_in_a_filter_that_is_only_whitespace_is_no_filter(apis: BothApis) -> None:
    await apis.rest("POST", CUSTOMERS, {"email": "ada@x.example"})

    for filter in ({"email": " \t"}, {"external_id": " \t"}):
        assert (await apis.rest("GET", CUSTOMERS, **filter)).json()["meta"]["total"] == 1
    for filter in ({"email": " \t"}, {"externalId": " \t"}):
        assert (await apis.graph(LIST, filter=filter))["app"]["customers"]["totalCount"] == 1


@pytest.mark.parametrize("email", EXISTING)
async def test_addresses_that_exist_are_accepted_and_found(apis: BothApis, email: str) -> None:
    by_rest = await apis.rest("POST", CUSTOMERS, {"email": email})
    by_graph = await apis.mutate(CREATE, appSlug=BY_GRAPH, email=email)

    assert (by_rest.status_code, by_graph["userErrors"]) == (201, [])
    assert by_rest.json()["data"]["email"] == by_graph["customer"]["email"] == email
    assert await apis.rest_data(f"{CUSTOMERS}/by-email", email=email.upper()) == by_rest.json()["data"]
    assert await apis.rest_data(CUSTOMERS, email=email.upper()) == [by_rest.json()["data"]]
    found = (await apis.graph(BY, by={"email": email.upper()}))["app"]["customer"]
    assert as_rest(found) == by_rest.json()["data"]


@pytest.mark.parametrize("email", IMPOSSIBLE)
async def test_what_is_no_address_is_refused(apis: BothApis, email: str) -> None:
    for path in (CUSTOMERS, f"{CUSTOMERS}/get-or-create"):
        response = await apis.rest("POST", path, {"email": email})
        assert response.status_code == 422
        assert response.json()["error"]["details"] == {"email": ["is not a valid address"]}
    for mutation in (CREATE, GET_OR_CREATE):
        outcome = await apis.mutate(mutation, appSlug=BY_REST, email=email)
        assert [(each["code"], each["field"]) for each in outcome["userErrors"]] == [("INVALID", ["email"])]


async def test_texts_of_only_whitespace_are_empty(apis: BothApis) -> None:
    whitespace = {"name": "   ", "external_id": " "}
    for number in range(2):
        by_rest = await apis.rest("POST", CUSTOMERS, {"email": f"{number}@x.example", **whitespace})
        assert by_rest.status_code == 201
        assert by_rest.json()["data"] | {"name": None, "external_id": None} == by_rest.json()["data"]
        by_graph = await apis.mutate(
            CREATE, appSlug=BY_GRAPH, email=f"{number}@x.example", name="   ", externalId=" "
        )
        assert (by_graph["customer"]["name"], by_graph["customer"]["externalId"]) == (None, None)

    id = by_rest.json()["data"]["id"]
    await apis.rest("PUT", f"{CUSTOMERS}/{id}", {"name": "Ada", "external_id": "crm-1"})
    cleared = (await apis.rest("PUT", f"{CUSTOMERS}/{id}", whitespace)).json()["data"]
    assert (cleared["name"], cleared["external_id"]) == (None, None)


# Customers whose emails became equal in a migration


TWINS = "/apps/twins/customers"
A_KEY = "a@xn--bcher-kva.example"


@pytest.fixture
async def twins(apis: BothApis, database: Database, account: Account) -> list[Customer]:
    """Three customers with equal emails, oldest first, as the migration leaves them."""
    app = await make_app(database, account, slug="twins")
    oldest = await make_customer(database, app, email="a@bücher.example")
    newer = [ids.new_id(ids.CUSTOMER).id for _ in range(2)]
    return [
        oldest,
        *[
            await make_customer(database, app, id=id, email=email, key=f"{A_KEY} {id}")
            for id, email in zip(newer, ("a@BÜCHER.example", A_KEY), strict=True)
        ],
    ]


async def found(apis: BothApis, email: str) -> str | None:
    """Return the id of the customer with this email, or None.

    Checks that every lookup by email finds the same customer.
    """
    query = BY.replace(BY_REST, "twins")
    by_graph = (await apis.graph(query, by={"email": email}))["app"]["customer"]
    by_rest = await apis.rest("GET", f"{TWINS}/by-email", email=email)
    if by_graph is None:
        assert by_rest.status_code == 404
        return None
    got = await apis.mutate(GET_OR_CREATE, appSlug="twins", email=email)
    assert by_rest.json()["data"] == as_rest(by_graph) == as_rest(got["customer"])
    return str(by_graph["id"])


async def test_the_oldest_of_equal_customers_is_found(apis: BothApis, twins: list[Customer]) -> None:
    for email in SPELLINGS:
        assert await found(apis, email) == twins[0].id
    assert (await apis.rest("GET", TWINS)).json()["meta"]["total"] == 3


async def test_a_newer_equal_customer_can_be_changed(
    apis: BothApis, database: Database, twins: list[Customer]
) -> None:
    newer = twins[1]
    whole = {"email": newer.email, "name": "Ada", "external_id": "crm-1", "metadata": {"a": 1}}

    changed = await apis.rest("PUT", f"{TWINS}/{newer.id}", whole)
    respelled = await apis.mutate(UPDATE, id=newer.id, email="A@bücher.example")

    assert changed.status_code == 200
    assert changed.json()["data"] | whole == changed.json()["data"]
    assert respelled["userErrors"] == []
    assert respelled["customer"]["email"] == "A@bücher.example"
    assert await found(apis, A_KEY) == twins[0].id


async def test_a_newer_equal_customer_with_another_email_is_found_by_it(
    apis: BothApis, twins: list[Customer]
) -> None:
    await make_other(apis)
    refused = await apis.mutate(UPDATE, id=twins[1].id, email="other@x.example")
    await apis.rest("PATCH", f"{TWINS}/{twins[1].id}", {"email": "b@x.example"})

    assert [(each["code"], each["field"]) for each in refused["userErrors"]] == [("TAKEN", ["email"])]
    assert await found(apis, "b@x.example") == twins[1].id
    assert await found(apis, A_KEY) == twins[0].id
    back = await apis.rest("PATCH", f"{TWINS}/{twins[1].id}", {"email": A_KEY})
    assert error(back) == taken("email")


async def make_other(apis: BothApis) -> None:
    assert (await apis.rest("POST", TWINS, {"email": "other@x.example"})).status_code == 201


async def test_the_next_equal_customer_is_found_when_the_oldest_is_deleted(
    apis: BothApis, twins: list[Customer]
) -> None:
    await apis.rest("DELETE", f"{TWINS}/{twins[0].id}")
    assert await found(apis, A_KEY) == twins[1].id

    await apis.mutate(DELETE, id=twins[1].id)
    assert await found(apis, A_KEY) == twins[2].id

    await apis.mutate(DELETE, id=twins[2].id)
    assert await found(apis, A_KEY) is None


async def test_the_next_equal_customer_is_found_when_the_oldest_gets_another_email(
    apis: BothApis, twins: list[Customer]
) -> None:
    await apis.mutate(UPDATE, id=twins[0].id, email="b@x.example")
    assert await found(apis, A_KEY) == twins[1].id

    await apis.rest("PUT", f"{TWINS}/{twins[1].id}", {"email": "c@x.example"})
    assert await found(apis, A_KEY) == twins[2].id


async def test_deleting_a_newer_equal_customer_changes_no_other(
    apis: BothApis, database: Database, twins: list[Customer]
) -> None:
    await apis.rest("DELETE", f"{TWINS}/{twins[1].id}")

    assert await found(apis, A_KEY) == twins[0].id
    assert [row["email_key"] for row in await stored(database, customers)] == [
        A_KEY,
        f"{A_KEY} {twins[2].id}",
    ]
