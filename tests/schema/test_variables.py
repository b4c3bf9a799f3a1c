"""Arguments with a wrong value are refused with an understandable error.

A value is wrong if it has the wrong type, or if it is null where the type is non-null. A null value is never
replaced with the argument's default. The tests send values as variables and as literals, for every argument.
A refused document is not executed.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest
from graphql import (
    GraphQLObjectType,
    Undefined,
    get_named_type,
    get_nullable_type,
    is_enum_type,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)

from db.engine import Database
from schema.graph import graphql_schema
from schema.pipeline.limits import Limits
from tests.factories import Account, Customer, make_app, make_customer
from tests.schema.conftest import Graph, limited

NEEDLE = "needle"
PYTHON = re.compile(r"None|Undefined|True|False|Error|\bstr\b|\bdict\b|\bint\b|\bbool\b|[{}<>]")
WRONG: list[Any] = [3, 1.5, True, "x", [], [None], {}, {"a": None}, 10**30, "\ud800", f"{NEEDLE}-value"]


class Place(NamedTuple):
    """A place in a document where a value is needed.

    `before` and `after` are the text around the value, `path` is the name of the argument or input field, and
    `type` is its type.
    """

    path: str
    before: str
    after: str
    type: Any
    has_default: bool


def written(type: Any) -> str:
    """Return a literal that a type accepts."""
    type = get_nullable_type(type)
    if is_list_type(type):
        return f"[{written(type.of_type)}]"
    if is_enum_type(type):
        return str(next(iter(type.values)))
    if is_input_object_type(type):
        required = [name for name, field in type.fields.items() if is_required(field)]
        names = [next(iter(type.fields))] if type.is_one_of else required
        return f"{{{', '.join(f'{name}: {written(type.fields[name].type)}' for name in names)}}}"
    return {
        "Int": "1",
        "Boolean": "true",
        "Date": '"2099-01-01"',
        "DateTime": '"2099-01-01T00:00:00Z"',
        "UUID": '"8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"',
        "JSONObject": "{}",
        "ID": '"cus_01h455vb4pex5vsknk084sn02q"',
        "String": '"nowhere"',
    }[type.name]


def is_required(given: Any) -> bool:
    return is_non_null_type(given.type) and not has_default(given)


def has_default(given: Any) -> bool:
    return given.default is not None or given.default_value is not Undefined


def selection(type: Any) -> str:
    """Return the shortest selection set of a field of this type, or an empty string if it needs none."""
    return "" if is_leaf_type(get_named_type(type)) else " { __typename }"


def call(name: str, field: Any, argument: str = "", value: str = "") -> str:
    arguments = {each: written(given.type) for each, given in field.args.items() if is_required(given)}
    if name == "license" and "id" in arguments:
        arguments["id"] = arguments["id"].replace("cus_", "lic_")
    arguments |= {argument: value} if argument else {}
    listed = ", ".join(f"{each}: {text}" for each, text in arguments.items())
    return f"{name}({listed})" if listed else name


def places() -> Iterator[Place]:
    """Yield a place for every argument, and for the input fields and the list elements within it."""
    for operation, root in (("query", graphql_schema.query_type), ("mutation", graphql_schema.mutation_type)):
        waiting, seen = [(root, operation, "")], set()
        while waiting:
            type, before, after = waiting.pop(0)
            if not isinstance(type, GraphQLObjectType) or type.name in seen:
                continue
            seen.add(type.name)
            for name, field in type.fields.items():
                for argument, given in field.args.items():
                    text = call(name, field, argument, "\0")
                    start, end = text.split("\0")
                    start, end = f"{before} {{ {NEEDLE}: {start}", f"{end}{selection(field.type)} }}{after}"
                    yield from within(Place(argument, start, end, given.type, has_default(given)))
                named = get_named_type(field.type)
                if is_object_type(named):
                    waiting.append((named, f"{before} {{ {call(name, field)}", f" }}{after}"))


def within(place: Place) -> Iterator[Place]:
    yield place
    type = get_nullable_type(place.type)
    if is_list_type(type):
        yield from within(Place(place.path, f"{place.before}[", f"]{place.after}", type.of_type, False))
    if is_input_object_type(type):
        for name, field in type.fields.items():
            others = (
                ""
                if type.is_one_of
                else "".join(
                    f", {each}: {written(other.type)}"
                    for each, other in type.fields.items()
                    if each != name and is_required(other)
                )
            )
            before, after = f"{place.before}{{{name}: ", f"{others}}}{place.after}"
            yield from within(Place(name, before, after, field.type, has_default(field)))


PLACES = list(places())


def with_variable(place: Place, default: str) -> str:
    operation, _, rest = place.before.partition(" ")
    type = get_nullable_type(place.type)
    return f"{operation}($x: {type}{default}) {rest}$x{place.after}"


async def checked(graph: Graph, query: str, variables: Mapping[str, Any] | None = None) -> list[Any]:
    """Send a request, and return its errors. Check that each error says clearly where and what is wrong."""
    content = json.dumps({"query": query, "variables": variables})
    headers = {"Authorization": f"Bearer {graph.token}", "Content-Type": "application/json"}
    answer = (await graph.client.post("/graphql", content=content, headers=headers)).json()
    errors = answer.get("errors", [])
    if "currentToken" in query:
        # Any text is a valid value here. UNAUTHENTICATED only means that the text is not a license's token.
        errors = [error for error in errors if error["extensions"]["code"] != "UNAUTHENTICATED"]
    for error in errors:
        about = query, variables, error
        assert error["extensions"]["code"] in {"BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED"}, about
        assert not PYTHON.search(error["message"]), about
        assert error["locations"], about
        assert "data" not in answer, about
    return list(errors)


def test_the_places_are_those_of_the_schema() -> None:
    found = {place.path for place in PLACES}

    assert {"slug", "token", "currentToken", "signingAlgorithm", "retire", "atMost", "direction"} <= found
    assert {"metadata", "expiresAt", "installationIds", "createdAfter", "durationDays"} <= found
    assert len(PLACES) > 150


async def test_a_variable_may_be_null_or_absent_anywhere(
    graph: Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in PLACES:
        type = place.type
        # GraphQL allows a nullable variable at a non-null type only if the variable or the place has a
        # default.
        needs_default = is_non_null_type(type) and not place.has_default
        query = with_variable(place, f" = {written(type)}" if needs_default else "")

        errors = await checked(graph, query, {"x": None})
        await checked(graph, query, {})

        if is_non_null_type(type):
            (error,) = errors
            assert place.path in error["message"], (query, error)
        if errors and errors[0]["extensions"]["code"] == "BAD_USER_INPUT":
            assert "$x" in errors[0]["message"], (query, errors)
    assert NEEDLE not in capsys.readouterr().out


# Wrong values are refused before they reach the database, so the other database can wait for the long tests.
ONE_DATABASE = pytest.mark.parametrize(
    "template", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True
)


@ONE_DATABASE
async def test_a_value_may_be_of_any_type(graph: Graph, capsys: pytest.CaptureFixture[str]) -> None:
    for place in PLACES:
        type = str(place.type).rstrip("!") + "!"
        operation, _, rest = place.before.partition(" ")
        query = f"{operation}($x: {type}) {rest}$x{place.after}"
        for value in WRONG:
            for error in await checked(graph, query, {"x": value}):
                assert "$x" in error["message"] or place.path in error["message"], (query, value, error)
    assert NEEDLE not in capsys.readouterr().out


@ONE_DATABASE
async def test_a_literal_may_be_of_any_type(graph: Graph, capsys: pytest.CaptureFixture[str]) -> None:
    for place in PLACES:
        for literal in ("3", f'"{NEEDLE}"', "[null]", "{a: null}", "NAME", "null"):
            for error in await checked(graph, f"{place.before}{literal}{place.after}"):
                assert place.path in error["message"], (literal, error)
    assert NEEDLE not in capsys.readouterr().out


NEW_APP = '{name: "N", slug: "n", signingAlgorithm: $x}'


@pytest.mark.parametrize(
    ("query", "argument", "column"),
    [
        ('query($x: String = "f") { app(slug: $x) { slug } }', "slug", 37),
        ('query($x: ID = "app_1") { node(id: $x) { id } }', "id", 36),
        ('query($x: ID = "app_1") { nodes(ids: [$x]) { id } }', "ids", 39),
        ('query($x: String = "App") { __type(name: $x) { name } }', "name", 42),
        ("query($x: Boolean = true) { __schema { types { fields(includeDeprecated: $x) { name } } } }",
         "includeDeprecated", 74),
        ("query($x: OrderDirection) { apps(orderBy: {field: NAME, direction: $x}) { totalCount } }",
         "direction", 68),
        ('query($x: String = "f") { app(slug: "f") { tier(slug: $x) { id } } }', "slug", 55),
        (f"mutation($x: SigningAlgorithm) {{ createApp(input: {NEW_APP}) {{ app {{ id }} }} }}",
         "signingAlgorithm", 92),
        ('mutation($x: RetireOldKey) { rotateAppKeys(input: {appSlug: "f", retire: $x}) { app { id } } }',
         "retire", 74),
    ],
)  # fmt: skip
async def test_null_is_not_the_default(
    graph: Graph, database: Database, account: Account, query: str, argument: str, column: int
) -> None:
    await make_app(database, account, slug="f")

    answer = (await graph.post(query, {"x": None})).json()

    (error,) = answer["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argument": argument}
    assert error["message"].endswith("must not be null, but $x is null or not given")
    assert error["locations"] == [{"line": 1, "column": column}]
    assert "data" not in answer
    assert await graph.data("{ apps { totalCount } }") == {"apps": {"totalCount": 1}}
    absent = (await graph.post(query, {})).json()
    assert "errors" not in absent, "the default applies if the variable is missing"


async def test_no_field_runs_if_an_argument_of_another_is_null(graph: Graph, customer: Customer) -> None:
    query = """mutation($id: ID!, $name: String = "f") {
      first: updateCustomer(input: {id: $id, name: "changed"}) { userErrors { code } }
      second: deleteApp(input: {slug: $name}) { userErrors { code } } }"""

    assert await graph.refusal(query, id=customer.id, name=None) == (
        "BAD_USER_INPUT",
        "deleteApp: input.slug must not be null, but $name is null or not given",
    )

    found = await graph.data("query($id: ID!) { customer(id: $id) { name } }", id=customer.id)
    assert found == {"customer": {"name": None}}


async def test_a_null_variable_of_a_directive_is_refused(graph: Graph) -> None:
    query = "query($x: Boolean = true) { __typename @include(if: $x) }"

    assert await graph.data(query) == {"__typename": "Query"}
    assert await graph.refusal(query, x=None) == (
        "BAD_USER_INPUT",
        "@skip and @include: if must not be null, but $x is null or not given",
    )


@pytest.mark.parametrize(
    "query",
    [
        'query($x: String) { verifyLicense(appSlug: "f", by: {token: $x}) { valid } }',
        'query($x: [String!]) { verifyLicenses(appSlug: "f", by: {jtis: $x}) { valid } }',
        'query($x: String = "a") { app(slug: "f") { customer(by: {email: $x}) { id } } }',
        "mutation($x: ID) { regenerateLicense(input: {id: $x}) { license { id } } }",
    ],
)
@pytest.mark.parametrize("variables", [{}, {"x": None}, {"x": "text"}])
async def test_a_nullable_variable_in_a_one_of_is_refused_by_validation(
    graph: Graph, query: str, variables: dict[str, Any]
) -> None:
    for asked in (graph, graph.with_token(None)) if "customer" not in query else (graph,):
        answer = (await asked.post(query, variables)).json()

        (error,) = answer["errors"]
        assert error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        assert "must be non-nullable to be used for OneOf Input Object" in error["message"]
        assert len(error["locations"]) == 2
        assert "data" not in answer


STORED: list[tuple[str, str, Any, Any]] = [
    ("String", "{plan: $v}", "x", {"plan": "x"}),
    ("String", "{plan: $v}", None, {"plan": None}),
    ("ID", "{plan: $v}", 7, {"plan": 7}),
    ("ID", "{plan: $v}", "7", {"plan": "7"}),
    ("Int", "{plan: [1, $v]}", 2, {"plan": [1, 2]}),
    ("Boolean", "{a: {plan: $v}}", False, {"a": {"plan": False}}),
    ("DateTime", "{plan: $v}", "2026-01-01T00:00:00+02:00", {"plan": "2026-01-01T00:00:00+02:00"}),
    ("UUID", "{plan: $v}", "8F14E45F-CEEA-467F-A3B5-2D1B6F0C9E11",
     {"plan": "8F14E45F-CEEA-467F-A3B5-2D1B6F0C9E11"}),
    ("SigningAlgorithm", "{plan: $v}", "EDDSA", {"plan": "EDDSA"}),
    ("[DateTime!]", "{plan: $v}", ["2026-01-01T00:00:00Z"], {"plan": ["2026-01-01T00:00:00Z"]}),
    ("[DateTime!]", "{plan: $v}", "2026-01-01T00:00:00Z", {"plan": "2026-01-01T00:00:00Z"}),
    ("CustomerFilter", "{plan: [$v]}", {"createdAfter": "2026-01-01T00:00:00Z"},
     {"plan": [{"createdAfter": "2026-01-01T00:00:00Z"}]}),
    ("AppOrder", "{plan: $v}", {"direction": "DESC", "field": "NAME"},
     {"plan": {"direction": "DESC", "field": "NAME"}}),
    ("JSONObject", "{plan: $v}", {"a-b": [1.5, None]}, {"plan": {"a-b": [1.5, None]}}),
]  # fmt: skip

ABSENT: list[tuple[str, str, Any]] = [
    ("String", "{plan: $v}", {}),
    ("DateTime", "{plan: $v, kept: 1}", {"kept": 1}),
    ("String", "{plan: [1, $v]}", {"plan": [1, None]}),
    ("AppOrder", "{a: {plan: $v}}", {"a": {}}),
    ('DateTime = "2026-01-01T00:00:00+02:00"', "{plan: $v}", {"plan": "2026-01-01T00:00:00+02:00"}),
    ("SigningAlgorithm = EDDSA", "{plan: [$v]}", {"plan": ["EDDSA"]}),
    ("[Int!] = [1, 2]", "{plan: $v}", {"plan": [1, 2]}),
    ("AppOrder = {field: NAME}", "{plan: $v}", {"plan": {"field": "NAME"}}),
]

MUTATIONS = {
    "createCustomer": ('appSlug: "f", email: "new@example.com"', "customer"),
    "getOrCreateCustomer": ('appSlug: "f", email: "new@example.com"', "customer"),
    "updateCustomer": ('id: "%s"', "customer"),
    "createLicense": ('customerId: "%s", forever: true', "license"),
}


@pytest.mark.surface
@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize(
    ("type", "literal", "variables", "stored"),
    [
        *((type, literal, {"v": value}, stored) for type, literal, value, stored in STORED),
        *((type, literal, {}, stored) for type, literal, stored in ABSENT),
    ],
)
async def test_variables_inside_a_json_literal_are_stored_as_written(
    graph: Graph,
    customer: Customer,
    mutation: str,
    type: str,
    literal: str,
    variables: dict[str, Any],
    stored: dict[str, Any],
) -> None:
    given, noun = MUTATIONS[mutation]
    given = given.replace("%s", customer.id)
    query = f"""mutation($v: {type}) {{
      saved: {mutation}(input: {{{given}, metadata: {literal}}}) {{ {noun} {{ metadata }} }} }}"""

    saved = (await graph.data(query, **variables))["saved"]

    assert json.dumps(saved[noun]["metadata"]) == json.dumps(stored)


async def test_errors_hide_the_schema_if_introspection_is_off(graph: Graph, database: Database) -> None:
    closed = limited(graph, database, Limits(), introspection=False)

    for asked, names, hint in (
        (graph, "CREATED_AT, NAME, or SLUG", ". Did you mean 'field'?"),
        (closed, "one of its values", ""),
    ):
        message = (await asked.refusal("{ apps(orderBy: {field: SIZE}) { totalCount } }"))[1]
        assert message == f"apps: orderBy.field must be {names}"
        query = "query($x: AppOrder) { apps(orderBy: $x) { totalCount } }"
        message = (await asked.refusal(query, x={"field": "NAME", "fields": 1}))[1]
        assert message == f"$x.fields is not a field of AppOrder{hint}"


async def test_errors_in_json_with_variables_name_the_key(graph: Graph, customer: Customer) -> None:
    query = """mutation($id: ID!, $v: String) {
      saved: updateCustomer(input: {id: $id, metadata: {plan: $v}}) { userErrors { field code } } }"""

    saved = (await graph.data(query, id=customer.id, v="\x00"))["saved"]

    assert saved == {"userErrors": [{"field": ["metadata", "plan"], "code": "INVALID"}]}


@pytest.fixture
async def customer(database: Database, account: Account) -> Customer:
    return await make_customer(database, await make_app(database, account, slug="f"))
