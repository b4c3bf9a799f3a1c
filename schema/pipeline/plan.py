"""Plan: what an operation selects, independent of the values of its arguments.

A plan depends only on the text of a document, the operation's name, and the values of the variables in
directives. It is therefore kept with the document (`schema.pipeline.cache`).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphql import (
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    StringValueNode,
    get_named_type,
)
from graphql.execution.collect_fields import FieldDetailsList, FragmentDetails
from graphql.execution.values import VariableValues

from asgi.limits import Quota
from db.reads import NOUNS
from schema.pipeline.arguments import Arguments, have_variable
from schema.pipeline.collecting import Collector, FieldArguments
from schema.pipeline.introspection import Introspection
from schema.pipeline.root_fields import KEY_ARGUMENT, Condition, always, declared
from schema.pipeline.selections import PlainFields, Selection, TemplateBuilder

ResponsePath: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """A field whose complete value one resolver returns, in a query or in a mutation's payload.

    `noun` is the name of the field's type. `arguments` are those that the template depends on. If the root
    field looks up an object by its id or declares a `count`, `root` has the root field's arguments. They are
    checked when the requested objects are counted.
    """

    path: ResponsePath
    noun: str
    template: Selection
    arguments: tuple[Arguments, ...]
    root: FieldArguments | None


@dataclass(frozen=True, slots=True)
class OpenField:
    """A root field that needs no key if its arguments meet the condition `open_if`."""

    arguments: FieldArguments
    open_if: Condition


@dataclass(frozen=True, slots=True)
class LimitedField:
    """A root field that counts toward a limit if its arguments meet the condition `counts_if`."""

    quota: Quota
    arguments: FieldArguments
    counts_if: Condition


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What an operation selects.

    `varying` has the arguments of root fields and introspection fields, if they contain variables. Binding
    checks them in each request, even if no selection depends on them. Arguments that determine a number of
    objects are left out, because they are checked when the objects are counted.

    `keyed` has the arguments of mutations that are given an idempotency key. `fixed_cost` is the cost of all
    mutations and introspection fields. `open_fields` are the fields whose arguments decide whether a key is
    needed. If `open_fields` is None, a key is always needed. `is_introspection` is True if the operation only
    queries the schema. `limited` are the fields that count toward limits, one for each alias. `nouns` has the
    type's name for the path of each field in `fields`.
    """

    fields: tuple[Planned, ...]
    varying: tuple[FieldArguments, ...]
    keyed: tuple[FieldArguments, ...]
    fixed_cost: int
    open_fields: tuple[OpenField, ...] | None
    is_introspection: bool
    nouns: Mapping[ResponsePath, str]
    limited: tuple[LimitedField, ...]

    def quotas(self, variables: VariableValues) -> Mapping[Quota, int]:
        """Return how often a request with these variables counts toward each limit."""
        if not self.limited:
            return {}
        return Counter(
            each.quota
            for each in self.limited
            if each.counts_if is always or each.counts_if(each.arguments.of(variables))
        )


def plan(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: dict[str, FragmentDetails],
    switches: Mapping[str, Any],
) -> Plan:
    """Plan an operation of a valid document. `switches` are the values of the variables in its directives."""
    planning = _Planning(Collector(schema, operation, fragments, switches))
    root = schema.get_root_type(operation.operation)
    assert root is not None
    return planning.plan(root, is_mutation=operation.operation is OperationType.MUTATION)


class _Planning:
    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._introspection = Introspection(collector)
        self._fields: list[Planned] = []
        self._varying: list[FieldArguments] = []

    def plan(self, root: GraphQLObjectType, *, is_mutation: bool) -> Plan:
        fixed_cost = 0
        is_introspection = True
        open_fields: list[OpenField] | None = []
        limited: list[LimitedField] = []
        keyed: list[FieldArguments] = []
        for key, name, details in self._collector.root(root):
            if have_variable(details[0].node.arguments):
                found = self._collector.schema.get_field(root, name)
                assert found is not None
                self._varying.append(FieldArguments(found, details))
            if name.startswith("__"):
                fixed_cost += self._cost_of_introspection(name, details)
                continue
            is_introspection = False
            field, known = root.fields[name], len(self._fields)
            if is_mutation:
                fixed_cost += declared(field).cost
                self._add_payload(key, field, details)
                if any(each.name.value == KEY_ARGUMENT for each in details[0].node.arguments or ()):
                    keyed.append(FieldArguments(field, details))
            else:
                self._add_query(key, field, details)
            opened = _open_fields(field, details, self._fields[known:])
            open_fields = None if open_fields is None or opened is None else open_fields + opened
            rules = declared(field)
            if rules.quota is not None and rules.open_if is not None:
                limited.append(LimitedField(rules.quota, FieldArguments(field, details), rules.open_if))
        # Binding checks the arguments of these fields anyway, when it counts the objects that they request.
        counted = {id(each.root.details) for each in self._fields if each.root is not None}
        varying = [each for each in self._varying if id(each.details) not in counted]
        return Plan(
            tuple(self._fields),
            (*varying, *self._introspection.varying),
            tuple(keyed),
            fixed_cost,
            None if open_fields is None else tuple(open_fields),
            is_introspection,
            {each.path: each.noun for each in self._fields},
            tuple(limited),
        )

    def _cost_of_introspection(self, name: str, details: FieldDetailsList) -> int:
        match name:
            case "__schema":
                return self._introspection.cost_of_schema(details)
            case "__type":
                (argument,) = details[0].node.arguments or ()
                literal = argument.value.value if isinstance(argument.value, StringValueNode) else None
                return self._introspection.cost_of_type(literal, details)
            case _:
                return 0

    def _add_query(self, key: str, field: GraphQLField, details: FieldDetailsList) -> None:
        asks_by_id = "id" in field.args and get_named_type(field.type).name in NOUNS
        counts = asks_by_id or declared(field).count is not None
        root = FieldArguments(field, details) if counts else None
        builder = TemplateBuilder(self._collector)
        template = builder.of(field, details)
        if template is not None:
            self._add((key,), field, template, builder, root)
        else:
            self._add((key,), field, builder.plain(field, details), builder, root)
            self._add_below((key,), field, details)

    def _add_payload(self, key: str, field: GraphQLField, details: FieldDetailsList) -> None:
        root = None
        if declared(field).count is not None:
            # Each object in the input adds to the cost, and the payload can return as many objects.
            root = FieldArguments(field, details)
            self._fields.append(Planned((key,), get_named_type(field.type).name, PlainFields(()), (), root))
        self._add_below((key,), field, details, root)

    def _add_below(
        self,
        path: ResponsePath,
        field: GraphQLField,
        details: FieldDetailsList,
        root: FieldArguments | None = None,
    ) -> None:
        """Plan the fields that statements return, below a field whose own value comes from Python."""
        type = get_named_type(field.type)
        if not isinstance(type, GraphQLObjectType):
            return
        for key, name, child in self._collector.below(type, details):
            if name != "__typename":
                builder = TemplateBuilder(self._collector)
                template = builder.of(type.fields[name], child)
                if template is None:
                    self._add_below((*path, key), type.fields[name], child)
                else:
                    self._add((*path, key), type.fields[name], template, builder, root)

    def _add(
        self,
        path: ResponsePath,
        field: GraphQLField,
        template: Selection,
        builder: TemplateBuilder,
        root: FieldArguments | None,
    ) -> None:
        noun = get_named_type(field.type).name
        self._fields.append(Planned(path, noun, template, tuple(builder.arguments), root))


def _open_fields(
    field: GraphQLField, details: FieldDetailsList, planned: list[Planned]
) -> list[OpenField] | None:
    """Return the conditions for using a root field without a key, or None if it always needs a key."""
    rules = declared(field)
    if rules.open_if is None:
        return None
    for each in planned:
        if isinstance(each.template, PlainFields):
            continue
        if rules.may_show is None or not isinstance(each.template, tuple):
            return None
        if not rules.may_show(each.template):
            return None
    return [] if rules.open_if is always else [OpenField(FieldArguments(field, details), rules.open_if)]
