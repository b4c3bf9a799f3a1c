"""Parse and validate: turn a text into a valid document.

Both stages can be slow, so they run in a thread (`schema.pipeline.worker`). Concurrent requests with the same
text share one run.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeAlias, cast

from graphql import (
    ArgumentNode,
    BooleanValueNode,
    DirectiveNode,
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    NameNode,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    ValidationContext,
    ValuesOfCorrectTypeRule,
    VariableNode,
    Visitor,
    get_operation_ast,
    parse,
    specified_rules,
    validate,
    visit,
)
from graphql.execution.collect_fields import FragmentDetails
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule

from resolvers.documents import MOST_ERRORS, Checked
from resolvers.viewer import Viewer
from schema.pipeline.arguments import LARGEST, SMALLEST, Assumption
from schema.pipeline.bind import assumed_cost
from schema.pipeline.cache import Document
from schema.pipeline.errors import Code, RequestRefused
from schema.pipeline.input_errors import NonNullVariablesInOneOf, ValuesOfCorrectType
from schema.pipeline.limits import LimitExceeded, Limits, check_cost, check_form, root_fields
from schema.pipeline.plan import plan
from schema.pipeline.root_fields import declared
from schema.pipeline.worker import Worker

LONG = 1_000
"""Planning an operation may take milliseconds if its document has at least this many characters."""

_GREATEST_INT = 2**31 - 1  # the largest value of the GraphQL type Int

_REPLACED: dict[Any, Any] = {ValuesOfCorrectTypeRule: ValuesOfCorrectType}
_RULES = (
    *(_REPLACED.get(rule, rule) for rule in specified_rules),
    NonNullVariablesInOneOf,
    MaybeNullValidationRule,
)

_Key: TypeAlias = tuple[str, str | None, str | None]


class Documents:
    """Parses and validates new documents."""

    def __init__(self, schema: GraphQLSchema, limits: Limits, worker: Worker, *, introspection: bool) -> None:
        self._schema = schema
        self._limits = limits
        self._worker = worker
        self._introspection = introspection
        closed = () if introspection else (NoSchemaIntrospectionCustomRule,)
        self._rules = (*_RULES, *closed)
        self._reading: dict[_Key, asyncio.Future[Document]] = {}

    @asynccontextmanager
    async def reading(self, text: str, operation_name: str | None, viewer: Viewer) -> AsyncIterator[Document]:
        """Parse and validate a new document.

        Requests with the same text share the result until the block of the first request ends.

        Raises RequestRefused and Busy.
        """
        # Without an API key, some operations are refused, so the result depends on the operation. With a key,
        # the result only depends on the text.
        key = (text, operation_name, viewer.unauthenticated) if viewer.is_anonymous else (text, None, None)
        is_first = key not in self._reading
        if is_first:
            reading = asyncio.ensure_future(self._worker.run(self._valid, *key))
            reading.add_done_callback(_retrieve)
            self._reading[key] = reading
            del reading
        try:
            # Because of `shield`, the other callers still get the document if this caller is cancelled. Do
            # not keep the future in a local variable: the future's exception refers to this frame, so the
            # variable would create a reference cycle.
            yield await asyncio.shield(self._reading[key])
        finally:
            if is_first:
                del self._reading[key]

    async def check(self, text: str) -> Checked:
        """Check a text that is to be registered, as `checked` does, in the worker's thread. Raises Busy."""
        return await self._worker.run(self.checked, text)

    def checked(self, text: str) -> Checked:
        """Check a text as a request with it would be checked.

        A text is refused for its cost only if even the smallest cost of one of its operations is above the
        limit.
        """
        longest = self._limits.max_body_bytes
        if longest and len(text.encode()) > longest:
            return Checked([f"is too long (maximum is {longest:,} bytes)"])
        try:
            document = self._valid(text, None, None)
            operations = [
                each for each in document.node.definitions if isinstance(each, OperationDefinitionNode)
            ]
            largest = max(self._cost(document, each, LARGEST) for each in operations)
            if self._limits.max_cost and largest > self._limits.max_cost:
                for each in operations:
                    check_cost(self._cost(document, each, SMALLEST), self._limits)
        except RequestRefused as refused:
            return Checked([_described(error) for error in refused.errors[:MOST_ERRORS]])
        except GraphQLError as error:
            return Checked([_described(error)])
        names = [each.name.value for each in operations if each.name is not None]
        return Checked(operations=names, max_cost=min(largest, _GREATEST_INT))

    def _cost(self, document: Document, operation: OperationDefinitionNode, assumption: Assumption) -> int:
        """Return the largest or the smallest cost of an operation. Raises GraphQLError."""
        if self._schema.get_root_type(operation.operation) is None:
            raise GraphQLError(f"There are no operations of the kind {operation.operation.value}.", operation)
        if document.switches:
            node, place = document.node, document.node.definitions.index(operation)
            node = visit(node, _Decided(included=assumption.is_largest))
            operation = cast("OperationDefinitionNode", node.definitions[place])
        else:
            node = document.node
        fragments = {
            each.name.value: FragmentDetails(each)
            for each in node.definitions
            if isinstance(each, FragmentDefinitionNode)
        }
        return assumed_cost(plan(self._schema, operation, fragments, {}), assumption)

    def _valid(self, text: str, operation_name: str | None, unauthenticated: str | None) -> Document:
        """Parse and validate a text. Raises RequestRefused.

        If the request has no key, `unauthenticated` is the error message for operations that need one.
        Otherwise, it is None.
        """
        try:
            document = parse(
                text, max_tokens=self._limits.max_tokens or None, allow_empty_selection_sets=False
            )
        except GraphQLError as error:
            raise RequestRefused([error], Code.GRAPHQL_PARSE_FAILED) from None
        except RecursionError:
            raise _nested_too_deeply() from None
        _unlink_tokens(document)
        try:
            check_form(document, self._limits)
        except LimitExceeded as error:
            raise RequestRefused([error], Code.GRAPHQL_VALIDATION_FAILED) from None
        except RecursionError:
            raise _nested_too_deeply() from None
        if unauthenticated is not None and self._needs_key(document, operation_name):
            raise RequestRefused([GraphQLError(unauthenticated)], Code.UNAUTHENTICATED)
        errors = self._validation_errors(document)
        if errors:
            raise RequestRefused(errors, Code.GRAPHQL_VALIDATION_FAILED)
        return document_of(text, document)

    def _validation_errors(self, document: DocumentNode) -> list[GraphQLError]:
        """Validate a document without leaving reference cycles behind.

        graphql-core's visitors refer to themselves and to the document. With these cycles, thousands of
        documents would wait for the garbage collector.
        """
        made: list[object] = []

        def kept(rule: Any, context: ValidationContext) -> Any:
            visitor = rule(context)
            made.extend((visitor, context))
            return visitor

        rules: list[Any] = [partial(kept, rule) for rule in self._rules]
        try:
            return validate(self._schema, document, rules, hide_suggestions=not self._introspection)
        finally:
            for each in made:
                vars(each).clear()

    def _needs_key(self, document: DocumentNode, operation_name: str | None) -> bool:
        """Return True if a root field of an operation, even a skipped one, always needs a key.

        This is checked before validation, which takes time.
        """
        operation = get_operation_ast(document, operation_name)
        root = self._schema.get_root_type(operation.operation) if operation else None
        if operation is None or root is None:
            return False
        asked = root_fields(document, operation, self._limits)
        return any(declared(root.fields[name]).open_if is None for name in asked & root.fields.keys())


class _Decided(Visitor):
    """Replaces the variables in @skip and @include, so that their fields are all included or all left out."""

    def __init__(self, *, included: bool) -> None:
        super().__init__()
        self._included = included

    def enter_directive(self, node: DirectiveNode, *_: object) -> DirectiveNode | None:
        name = node.name.value
        if name not in {"skip", "include"} or not any(
            isinstance(argument.value, VariableNode) for argument in node.arguments or ()
        ):
            return None
        value = BooleanValueNode(value=self._included == (name == "include"))
        return DirectiveNode(
            name=node.name, arguments=(ArgumentNode(name=NameNode(value="if"), value=value),)
        )


def _described(error: GraphQLError) -> str:
    """Return the message of an error in a text, with its place."""
    places = [f"line {place.line}, column {place.column}" for place in error.locations or ()]
    return f"is not valid: {error.message}" + (f" ({places[0]})" if places else "")


def document_of(text: str, node: DocumentNode) -> Document:
    """Create the cache entry for a valid document."""
    switches = _Switches()
    visit(node, switches)
    asks_for_schema = "__" in text.replace("__typename", "")  # also true for some other documents
    takes_long = len(text) >= LONG or asks_for_schema
    return Document(text, node, tuple(sorted(switches.names)), takes_long)


class _Switches(Visitor):
    """Collects the names of the variables in directives."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_directive(self, node: DirectiveNode, *_: object) -> None:
        for argument in node.arguments or ():
            if isinstance(argument.value, VariableNode):
                self.names.add(argument.value.name.value)


def _unlink_tokens(document: DocumentNode) -> None:
    """Unlink the tokens of a document, because tokens refer to each other in a cycle.

    Without the cycle, a document is freed as soon as it is no longer used. With the cycle, thousands of
    documents would wait for Python's garbage collector, which would then stop the process for tenths of a
    second.
    """
    token = document.loc.start_token if document.loc else None
    while token is not None:
        following = token.next
        token.prev = token.next = None
        token = following


def _nested_too_deeply() -> RequestRefused:
    return RequestRefused([GraphQLError("The document is nested too deeply.")], Code.GRAPHQL_PARSE_FAILED)


def _retrieve(reading: "asyncio.Future[Document]") -> None:
    """Retrieve the exception, so that asyncio does not log it if all callers were cancelled."""
    if not reading.cancelled():
        reading.exception()
