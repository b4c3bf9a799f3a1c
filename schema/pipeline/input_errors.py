"""Errors about the values in a document and in its variables, in words.

graphql-core's messages quote values in Python's notation, and its messages about scalars do not name the
field. `ValuesOfCorrectType` therefore replaces graphql-core's validation rule for literals. For variables and
arguments, graphql-core determines whether there is an error. If there is one, this module checks the values
again. The errors of this module name the field and have a location in the document.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

from graphql import (
    SKIP,
    FieldNode,
    GraphQLError,
    GraphQLField,
    GraphQLSchema,
    ListValueNode,
    Node,
    NullValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    Undefined,
    ValidationRule,
    ValuesOfCorrectTypeRule,
    VariableDefinitionNode,
    VariableNode,
    VisitorAction,
    get_nullable_type,
    is_enum_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    is_nullable_type,
    is_required_argument,
    is_required_input_field,
    type_from_ast,
)
from graphql.execution.values import VariableValues
from graphql.pyutils import did_you_mean, or_list, suggestion_list

MOST_ERRORS = 50
"""The maximum number of errors about variables in a response."""

NAME_LENGTH = 64
"""The maximum length of a name in a message. Longer names are cut: clients can send any name."""

_BUILT_IN = {
    "Int": "must be an integer between -2147483648 and 2147483647",
    "String": "must be a string",
    "Boolean": "must be true or false",
    "ID": "must be a string or an integer",
}

_Path: TypeAlias = tuple[str | int, ...]


class _Wrong(NamedTuple):
    """One invalid value. `message` continues a sentence that begins with the path."""

    path: _Path
    message: str
    node: Node | None


def errors_of_variables(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    variables: Mapping[str, Any],
    *,
    hide_suggestions: bool,
) -> list[GraphQLError]:
    """Return the errors in the values that a request sent for an operation's variables."""
    values = _Values(hide_suggestions=hide_suggestions)
    return [
        GraphQLError(f"{_written(wrong.path)} {wrong.message}", definition)
        for definition, wrong in islice(_wrong_variables(schema, operation, variables, values), MOST_ERRORS)
    ]


def error_of_arguments(
    field: GraphQLField, node: FieldNode, variables: VariableValues
) -> GraphQLError | None:
    """Return the first error in a field's arguments, or None. The document must be valid."""
    values = _Values(variables)
    for argument in node.arguments or ():
        name = argument.name.value
        if values.is_missing(argument.value) and not is_required_argument(field.args[name]):
            continue
        for wrong in values.wrong(argument.value, field.args[name].type, (name,)):
            return _error(f"{node.name.value}: ", wrong)
    return None


def error_of_switch(error: GraphQLError) -> GraphQLError:
    """Return our error for a directive whose variable is null or absent."""
    (variable,) = (each for each in error.nodes or () if isinstance(each, VariableNode))
    return GraphQLError(f"@skip and @include: if {_null(variable)}", variable)


class ValuesOfCorrectType(ValuesOfCorrectTypeRule):
    """graphql-core's validation rule for literals, with the messages of this module."""

    def enter_null_value(self, node: Any, *place: Any) -> VisitorAction:
        return self._check(node, self.context.get_input_type(), place)

    def enter_list_value(self, node: Any, *place: Any) -> VisitorAction:
        # At a list, graphql-core's current input type is already the type of the items. The parent type is
        # that of the list.
        return self._check(node, self.context.get_parent_input_type(), place)

    enter_object_value = enter_enum_value = enter_int_value = enter_null_value
    enter_float_value = enter_string_value = enter_boolean_value = enter_null_value

    def _check(self, node: Any, type: Any, place: tuple[Any, ...]) -> VisitorAction:
        _, parent, _, ancestors = place
        if type is not None:
            values = _Values(hide_suggestions=self.context.hide_suggestions)
            for wrong in values.wrong(node, type, (_name(parent),)):
                self.report_error(_error(_prefix(parent, ancestors), wrong))
        return SKIP


class NonNullVariablesInOneOf(ValidationRule):
    """Requires a non-null type for a variable in a field of a @oneOf input.

    graphql-core's own rule misses a @oneOf input if its argument or field has a non-null type.
    """

    def leave_operation_definition(self, operation: OperationDefinitionNode, *_: object) -> None:
        definitions = {each.variable.name.value: each for each in operation.variable_definitions or ()}
        for usage in self.context.get_recursive_variable_usages(operation):
            parent, name = usage.parent_type, usage.node.name.value
            if not is_non_null_type(parent) or name not in definitions:
                continue
            input = get_nullable_type(parent)
            type = type_from_ast(self.context.schema, definitions[name].type)
            if is_input_object_type(input) and input.is_one_of and is_nullable_type(type):
                message = (
                    f"Variable '${name}' is of type '{type}' but must be non-nullable to be used for OneOf"
                    f" Input Object '{input.name}'."
                )
                self.report_error(GraphQLError(message, [definitions[name], usage.node]))


def _wrong_variables(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    variables: Mapping[str, Any],
    values: "_Values",
) -> Iterator[tuple[VariableDefinitionNode, _Wrong]]:
    for definition in operation.variable_definitions or ():
        name, type = definition.variable.name.value, type_from_ast(schema, definition.type)
        if name in variables:
            for wrong in values.wrong(variables[name], type, (f"${name}",)):
                yield definition, wrong
        elif is_non_null_type(type) and definition.default_value is None:
            yield definition, _Wrong((f"${name}",), "must be given", None)


class _Values:
    """Finds errors in values: in literals, and in the JSON that was sent for variables.

    With `variables`, a literal is checked with the values of the variables inside. Without `variables`, the
    variables inside a literal are not checked.
    """

    def __init__(self, variables: VariableValues | None = None, *, hide_suggestions: bool = False) -> None:
        self._variables = variables
        self._hide_suggestions = hide_suggestions

    def is_missing(self, given: Any) -> bool:
        """Return True for a variable without a value in this request."""
        return (
            isinstance(given, VariableNode)
            and self._variables is not None
            and given.name.value not in self._variables.coerced
        )

    def wrong(self, given: Any, type: Any, path: _Path) -> Iterator[_Wrong]:
        """Yield the errors in a value that must have this type."""
        node = given if isinstance(given, Node) else None
        if isinstance(given, VariableNode):
            if is_non_null_type(type) and self._is_null(given):
                yield _Wrong(path, _null(given), node)
            return
        value = _opened(given)
        if value is None:
            if is_non_null_type(type):
                yield _Wrong(path, "must not be null", node)
            return
        type = get_nullable_type(type)
        if is_list_type(type):
            if isinstance(value, list):
                for index, item in enumerate(value):
                    yield from self.wrong(item, type.of_type, (*path, index))
            else:
                yield from self.wrong(given, type.of_type, path)
        elif is_input_object_type(type):
            if isinstance(value, dict):
                yield from self._wrong_fields(value, type, path, node)
            else:
                yield _Wrong(path, "must be an object", node)
        elif (message := self._wrong_leaf(given, type)) is not None:
            yield _Wrong(path, message, node)

    def _wrong_fields(self, value: dict[str, Any], type: Any, path: _Path, node: Any) -> Iterator[_Wrong]:
        for name, field in type.fields.items():
            if name not in value or self.is_missing(value[name]):
                if is_required_input_field(field):
                    yield _Wrong((*path, name), "must be given", node)
            else:
                yield from self.wrong(value[name], field.type, (*path, name))
        for name in value:
            if name not in type.fields:
                yield _Wrong((*path, name), f"is not a field of {type}{self._suggested(name, type)}", node)
        if type.is_one_of and len(value) != 1:
            yield _Wrong(path, "must have exactly one field", node)
        elif type.is_one_of and self._is_null(*value.values()):
            yield _Wrong((*path, *value), "must not be null", node)

    def _wrong_leaf(self, given: Any, type: Any) -> str | None:
        try:
            if self._coerced(given, type) is not Undefined:
                return None
            said = ""
        except Exception as error:
            said = str(error)
        if is_enum_type(type):
            names = "one of its values" if self._hide_suggestions else or_list(list(type.values))
            return f"must be {names}"
        return _BUILT_IN.get(type.name, said)

    def _coerced(self, given: Any, type: Any) -> Any:
        if not isinstance(given, Node):
            return type.coerce_input_value(given)
        if type.coerce_input_literal is not None:
            return type.coerce_input_literal(given)
        return type.parse_literal(given, self._variables and self._variables.coerced)

    def _is_null(self, given: Any) -> bool:
        if isinstance(given, VariableNode):
            return self._variables is not None and self._variables.coerced.get(given.name.value) is None
        return given is None or isinstance(given, NullValueNode)

    def _suggested(self, name: str, type: Any) -> str:
        if self._hide_suggestions:
            return ""
        suggestions = did_you_mean(suggestion_list(name, list(type.fields)))
        return suggestions and f".{suggestions}"


def _opened(given: Any) -> Any:
    """Convert a literal list, object or null to Python, but not its items. Return other values unchanged."""
    match given:
        case NullValueNode():
            return None
        case ListValueNode():
            return list(given.values)
        case ObjectValueNode():
            return {field.name.value: field.value for field in given.fields}
        case _:
            return given


def _null(variable: VariableNode) -> str:
    return f"must not be null, but ${variable.name.value} is null or not given"


def _error(prefix: str, wrong: _Wrong) -> GraphQLError:
    """Return the GraphQL error for an invalid literal."""
    argument = [part for part in wrong.path if isinstance(part, str)][-1]
    return GraphQLError(
        f"{prefix}{_written(wrong.path)} {wrong.message}", wrong.node, extensions={"argument": argument}
    )


def _written(path: _Path) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part[:NAME_LENGTH]}" for part in path]
    return "".join(parts).removeprefix(".")


def _name(parent: Any) -> str:
    """Return the name of the argument that has this value, or of the variable that has this default."""
    if isinstance(parent, VariableDefinitionNode):
        return f"${parent.variable.name.value}"
    return str(parent.name.value)


def _prefix(parent: Any, ancestors: Iterable[Any]) -> str:
    """Return the beginning of a message: the field or directive of an argument, or "" for a variable."""
    if isinstance(parent, VariableDefinitionNode):
        return ""
    owners = [each for each in ancestors if isinstance(each, Node) and each is not parent]
    owner: Any = owners[-1]
    return f"{owner.name.value}: " if isinstance(owner, FieldNode) else f"@{owner.name.value}: "
