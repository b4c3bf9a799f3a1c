"""The published graph: the committed SDL, its contract, and its descriptions."""

from collections.abc import Iterable
from enum import Enum
from pathlib import Path

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    build_schema,
    find_breaking_changes,
)

from db.licenses import LicenseStatus as StoredStatus
from db.reads import NOUNS
from resolvers.errors import FaultCode
from resolvers.keyring import Algorithm
from resolvers.verification import Reason
from resolvers.viewer import KeyKind as KindBelow
from resolvers.viewer import Scope as ScopeBelow
from schema.apps import SigningAlgorithm
from schema.base.payloads import UserErrorCode
from schema.graph import graphql_schema, schema
from schema.keys import KeyKind, Scope
from schema.licenses import LicenseStatus
from schema.pipeline.names import snake_case
from schema.verification import VerificationReason
from tests.descriptions import is_useful

_SNAPSHOT = Path("schema/schema.graphql")
_CONTRACT = Path("tests/schema/contract.graphql")


def test_committed_sdl_is_that_of_the_code() -> None:
    assert _SNAPSHOT.read_text() == schema.as_str() + "\n", "run `make snapshots` and review the difference"


def test_everything_in_the_contract_is_in_the_graph_unchanged() -> None:
    contract = build_schema(_CONTRACT.read_text())

    assert find_breaking_changes(contract, graphql_schema) == []


def test_default_values_of_the_contract_are_those_of_the_graph() -> None:
    sdl = schema.as_str()

    assert sdl.count("direction: OrderDirection! = ASC") == 4
    assert sdl.count("signingAlgorithm: SigningAlgorithm! = RS256") == 1
    assert sdl.count("retire: RetireOldKey! = AFTER_LAST_EXPIRY") == 1
    assert sdl.count("days: Int! = 30") == 1
    assert sdl.count("overlapHours: Int! = 24") == 1
    assert sdl.count("ttlSeconds: Int! = 3600") == 1
    assert " = null" not in sdl


def test_everything_is_described() -> None:
    bare = [] if is_useful(graphql_schema.description) else ["schema"]
    for name, type in graphql_schema.type_map.items():
        if name.startswith("__") or name in {"String", "Int", "Boolean", "ID"}:
            continue
        if not is_useful(type.description):
            bare.append(name)
        if isinstance(type, GraphQLEnumType):
            bare += [f"{name}.{value}" for value, it in type.values.items() if not is_useful(it.description)]
        if isinstance(type, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            for field_name, field in type.fields.items():
                if not is_useful(field.description):
                    bare.append(f"{name}.{field_name}")
                arguments = getattr(field, "args", {})
                bare += [
                    f"{name}.{field_name}({arg}:)"
                    for arg, it in arguments.items()
                    if not is_useful(it.description)
                ]

    assert bare == []


def test_every_field_of_a_noun_has_its_place_in_sql() -> None:
    for noun in NOUNS.values():
        type = graphql_schema.type_map[noun.name]
        assert isinstance(type, GraphQLObjectType)
        known = {*noun.attributes, *noun.embedded, *noun.objects, *noun.lists, *noun.entries}
        known |= {*noun.connections, *noun.figures}

        snapshot = {"snapshot"} if noun.image else set()
        assert {snake_case(name) for name in type.fields} <= known | {*noun.singular} | snapshot


def test_nullable_in_the_graph_is_nullable_in_sql() -> None:
    for noun in NOUNS.values():
        type = graphql_schema.type_map[noun.name]
        assert isinstance(type, GraphQLObjectType)
        for name, field in type.fields.items():
            attribute = noun.attributes.get(snake_case(name))
            if attribute is not None:
                assert attribute.nullable == (not str(field.type).endswith("!")), f"{noun.name}.{name}"
                columns = () if attribute.is_subquery else attribute.columns
                for column in columns if len(columns) == 1 else ():
                    nullable = noun.table.c[column].nullable
                    if (noun.name, name) == ("App", "slug"):
                        # A CHECK allows null only for deleted apps, which have no owner. Reads never find
                        # them.
                        nullable = False
                    assert nullable == attribute.nullable, f"{noun.name}.{name}"


def values(members: Iterable[Enum]) -> list[object]:
    """Return an enum's values with the type `object`, because Strawberry declares a wrong type for them."""
    return [member.value for member in members]


def test_enums_hold_what_the_layers_below_know() -> None:
    assert set(values(LicenseStatus)) == set(values(StoredStatus))
    assert set(values(UserErrorCode)) == set(values(FaultCode))
    assert set(values(VerificationReason)) == set(values(Reason))
    assert set(values(SigningAlgorithm)) == {value.jwa for value in Algorithm}
    assert {value.name for value in SigningAlgorithm} == set(values(Algorithm))
    assert [kind.name for kind in KeyKind] == [kind.name for kind in KindBelow]
    assert values(KeyKind) == values(KindBelow)
    # READ_LICENSE is the scope of a license's token. No key has it.
    of_keys = [scope for scope in ScopeBelow if scope is not ScopeBelow.READ_LICENSE]
    assert [scope.name for scope in Scope] == [scope.name for scope in of_keys]
    assert values(Scope) == values(of_keys)
