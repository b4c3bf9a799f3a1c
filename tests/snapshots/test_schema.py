"""The graph as it is published: the committed SDL, its contract, its descriptions."""

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
from resolvers.keys import KeyKind as KindBelow
from resolvers.verification import Reason
from resolvers.viewer import Scope as ScopeBelow
from schema.apps import SigningAlgorithm
from schema.graph import graphql_schema, schema
from schema.licenses import LicenseStatus
from schema.names import snake_case
from schema.payloads import UserErrorCode
from schema.verification import VerificationReason
from schema.viewer import KeyKind, Scope

_SNAPSHOT = Path("schema/schema.graphql")
_CONTRACT = Path("tests/schema/contract.graphql")


def test_committed_sdl_is_that_of_the_code() -> None:
    assert _SNAPSHOT.read_text() == schema.as_str() + "\n", "run `make snapshots` and review the difference"


def test_everything_in_the_contract_is_in_the_graph_unchanged() -> None:
    contract = build_schema(_CONTRACT.read_text())

    assert find_breaking_changes(contract, graphql_schema) == []


def test_default_values_of_the_contract_are_those_of_the_graph() -> None:
    sdl = schema.as_str()

    assert sdl.count("direction: OrderDirection! = ASC") == 3
    assert sdl.count("signingAlgorithm: SigningAlgorithm! = RS256") == 1
    assert sdl.count("retire: RetireOldKey! = AFTER_LAST_EXPIRY") == 1
    assert " = null" not in sdl


def test_everything_is_described() -> None:
    bare = []
    for name, type in graphql_schema.type_map.items():
        if name.startswith("__") or name in {"String", "Int", "Boolean", "ID"}:
            continue
        if not type.description:
            bare.append(name)
        if isinstance(type, GraphQLEnumType):
            bare += [f"{name}.{value}" for value, it in type.values.items() if not it.description]
        if isinstance(type, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            for field_name, field in type.fields.items():
                if not field.description:
                    bare.append(f"{name}.{field_name}")
                arguments = getattr(field, "args", {})
                bare += [
                    f"{name}.{field_name}({arg}:)" for arg, it in arguments.items() if not it.description
                ]

    assert bare == []


def test_every_field_of_a_noun_has_its_place_in_sql() -> None:
    for noun in NOUNS.values():
        type = graphql_schema.type_map[noun.name]
        assert isinstance(type, GraphQLObjectType)
        known = {*noun.attributes, *noun.objects, *noun.lists, *noun.connections, *noun.singular}

        assert {snake_case(name) for name in type.fields} <= known


def test_nullable_in_the_graph_is_nullable_in_sql() -> None:
    for noun in NOUNS.values():
        type = graphql_schema.type_map[noun.name]
        assert isinstance(type, GraphQLObjectType)
        for name, field in type.fields.items():
            attribute = noun.attributes.get(snake_case(name))
            if attribute is not None:
                assert attribute.nullable == (not str(field.type).endswith("!")), f"{noun.name}.{name}"
                for column in attribute.columns if len(attribute.columns) == 1 else ():
                    nullable = noun.table.c[column].nullable
                    if (noun.name, name) == ("App", "slug"):
                        # Null when the app is deleted and has no owner (a CHECK): then no read finds it.
                        nullable = False
                    assert nullable == attribute.nullable, f"{noun.name}.{name}"


def test_enums_hold_what_the_layers_below_know() -> None:
    assert {value.value for value in LicenseStatus} == {value.value for value in StoredStatus}
    assert {value.value for value in UserErrorCode} == {value.value for value in FaultCode}
    assert {value.value for value in VerificationReason} == {value.value for value in Reason}
    assert {value.value for value in SigningAlgorithm} == {value.jwa for value in Algorithm}
    assert {value.name for value in SigningAlgorithm} == {value.value for value in Algorithm}
    assert [value.value for value in KeyKind] == [kind.name for kind in KindBelow]
    # What whoever holds a license's token may read is no key's.
    of_keys = [scope.name for scope in ScopeBelow if scope is not ScopeBelow.READ_LICENSE]
    assert [value.value for value in Scope] == of_keys
