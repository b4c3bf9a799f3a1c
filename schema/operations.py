"""A request's way from text to result: parse, judge, select, weigh, execute."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, cast

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    ValidationContext,
    get_operation_ast,
    parse,
    specified_rules,
    validate,
)
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule

from resolvers.errors import Busy, Unauthenticated
from schema.context import Context
from schema.errors import Code, RequestRefused
from schema.executor import SplicingExecutor
from schema.graph import graphql_schema
from schema.limits import LimitExceeded, Limits, check_form, check_variables, root_fields
from schema.openness import open_if_of
from schema.prepared import Document, Prepared, PreparedOperations, document_of
from schema.roots import Survey
from schema.worker import TOO_MANY, WAIT_S, Worker

_Key: TypeAlias = tuple[str, str | None, bool]


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent."""

    query: str
    variables: Mapping[str, Any] | None = None
    operation_name: str | None = None
    may_mutate: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request, and what it cost."""

    result: ExecutionResult
    cost: int


class MutationNotAllowed(Exception):
    """A mutation came by a way that may only ask (GET)."""


class Operations:
    """Executes documents against the graph within limits. One for the process."""

    def __init__(self, limits: Limits, *, introspection: bool = True) -> None:
        self.limits = limits
        self._introspection = introspection
        closed = () if introspection else (NoSchemaIntrospectionCustomRule,)
        self._rules = (*specified_rules, MaybeNullValidationRule, *closed)
        self._prepared = PreparedOperations()
        self._worker = Worker()
        self._reading: dict[_Key, asyncio.Future[Document]] = {}

    async def execute(self, request: Request, context: Context) -> Outcome:
        """Execute a request. Raises RequestRefused when nothing of it was, MutationNotAllowed and Busy."""
        document = self._prepared.document(request.query)
        if document is not None:
            return await self._execute(document, request, context, is_new=False)
        is_anonymous = context.viewer.is_anonymous
        key = request.query, request.operation_name if is_anonymous else None, is_anonymous
        is_first = key not in self._reading
        try:
            document = await self._read(key, request, is_anonymous)
            return await self._execute(document, request, context, is_new=True)
        finally:
            if is_first:  # by now the document is kept, or was refused
                del self._reading[key]

    async def _execute(
        self, document: Document, request: Request, context: Context, *, is_new: bool
    ) -> Outcome:
        executor = self._executor(document, request, context)
        context.record.operation = _named(executor.operation)
        try:
            return await self._executed(document, executor, request, context, is_new=is_new)
        finally:
            executor.let_go()

    async def _executed(
        self,
        document: Document,
        executor: SplicingExecutor,
        request: Request,
        context: Context,
        *,
        is_new: bool,
    ) -> Outcome:
        if executor.operation.operation is OperationType.MUTATION and not request.may_mutate:
            raise MutationNotAllowed
        try:
            prepared = self._prepared.operation(document, executor)
            if prepared is None:
                is_new = True
                prepared = await self._survey(document, executor)
            if context.viewer.is_anonymous and not prepared.outline.is_open(executor):
                raise Unauthenticated
        except Unauthenticated as error:
            raise RequestRefused([GraphQLError(str(error))], Code.UNAUTHENTICATED) from None
        except GraphQLError as error:
            raise RequestRefused([error], Code.BAD_USER_INPUT) from None
        if self.limits.max_cost and prepared.cost > self.limits.max_cost:
            raise RequestRefused([_too_dear(prepared.cost, self.limits.max_cost)], Code.COST_LIMIT_EXCEEDED)
        if is_new:  # and allowed: what is refused takes nothing from what others ask again and again
            self._prepared.keep(document)
        context.shapes = prepared.shapes
        if prepared.outline.is_introspection:
            return Outcome(await self._introspected(document, executor), prepared.cost)
        result = executor.execute_operation()
        if inspect.isawaitable(result):
            result = await result
        return Outcome(cast("ExecutionResult", result), prepared.cost)

    async def _survey(self, document: Document, executor: SplicingExecutor) -> Prepared:
        """Work an operation out, and keep it with its document. Raises GraphQLError and Busy."""
        if not document.takes_long:
            return self._prepared.add(document, executor, Survey(executor))
        async with self._turn(document):
            # The request before this one may have done the same work.
            prepared = self._prepared.operation(document, executor)
            if prepared is None:
                survey = await self._worker.run(Survey, executor)
                prepared = self._prepared.add(document, executor, survey)
            return prepared

    async def _introspected(self, document: Document, executor: SplicingExecutor) -> ExecutionResult:
        """The answer to an operation that asks for the schema alone. Without variables it never changes."""
        name = executor.operation.name.value if executor.operation.name else None
        if name in document.introspected:
            return ExecutionResult(dict[str, Any](document.introspected[name]))
        async with self._turn(document):
            if name in document.introspected:
                return ExecutionResult(dict[str, Any](document.introspected[name]))
            result = cast("ExecutionResult", await self._worker.run(executor.execute_operation))
            if result.data is not None and not result.errors and not executor.operation.variable_definitions:
                document.add_introspected(name, result.data)
                self._prepared.keep(document)
            return result

    @asynccontextmanager
    async def _turn(self, document: Document) -> AsyncIterator[None]:
        """Let one request at a time work on a document. Raises Busy if its turn does not come in time.

        So a document that many clients send takes only one of the worker's places.
        """
        try:
            async with asyncio.timeout(WAIT_S):
                await document.turn.acquire()
        except TimeoutError:
            raise Busy(TOO_MANY) from None
        try:
            yield
        finally:
            document.turn.release()

    async def _read(self, key: _Key, request: Request, is_anonymous: bool) -> Document:
        """Parse and validate a document that is new: once for all who bring it meanwhile.

        Raises RequestRefused and Busy.
        """
        if key not in self._reading:
            reading = asyncio.ensure_future(self._worker.run(self._valid, request, is_anonymous))
            reading.add_done_callback(_retrieve)
            self._reading[key] = reading
            del reading
        # If this caller gives up, the others still get the document. No variable holds the future: its
        # exception refers to this frame, so that would be a reference cycle.
        return await asyncio.shield(self._reading[key])

    def _valid(self, request: Request, is_anonymous: bool) -> Document:
        """Parse and validate a document that is new. Raises RequestRefused."""
        try:
            document = parse(
                request.query, max_tokens=self.limits.max_tokens or None, allow_empty_selection_sets=False
            )
        except GraphQLError as error:
            raise RequestRefused([error], Code.GRAPHQL_PARSE_FAILED) from None
        except RecursionError:
            raise _nested_too_deeply() from None
        _part_tokens(document)
        try:
            check_form(document, self.limits)
        except LimitExceeded as error:
            raise RequestRefused([error], Code.GRAPHQL_VALIDATION_FAILED) from None
        except RecursionError:
            raise _nested_too_deeply() from None
        if is_anonymous and self._needs_key(document, request.operation_name):
            raise RequestRefused([GraphQLError(str(Unauthenticated()))], Code.UNAUTHENTICATED)
        errors = self._faults(document)
        if errors:
            raise RequestRefused(errors, Code.GRAPHQL_VALIDATION_FAILED)
        return document_of(request.query, document)

    def _faults(self, document: DocumentNode) -> list[GraphQLError]:
        """What validation finds wrong. It leaves nothing behind.

        graphql-core's visitors know themselves in a circle, and through them the document: it would wait for
        the garbage collector, with thousands of others.
        """
        made: list[object] = []

        def kept(rule: Any, context: ValidationContext) -> Any:
            visitor = rule(context)
            made.extend((visitor, context))
            return visitor

        rules: list[Any] = [partial(kept, rule) for rule in self._rules]
        try:
            return validate(graphql_schema, document, rules, hide_suggestions=not self._introspection)
        finally:
            for each in made:
                vars(each).clear()

    def _needs_key(self, document: DocumentNode, operation_name: str | None) -> bool:
        """Whether it is plain before validation that a document needs a key: validation takes time."""
        operation = get_operation_ast(document, operation_name)
        root = graphql_schema.get_root_type(operation.operation) if operation else None
        if operation is None or root is None:
            return False
        asked = root_fields(document, operation, self.limits)
        return any(open_if_of(root.fields[name]) is None for name in asked & root.fields.keys())

    def _executor(self, document: Document, request: Request, context: Context) -> SplicingExecutor:
        try:
            check_variables(request.variables or {})
        except LimitExceeded as error:
            raise RequestRefused([error], Code.BAD_USER_INPUT) from None
        executor = SplicingExecutor.build(
            graphql_schema,
            document.node,
            context_value=context,
            raw_variable_values=dict(request.variables or {}),
            operation_name=request.operation_name,
            hide_suggestions=not self._introspection,
        )
        if isinstance(executor, list):
            raise RequestRefused(executor, Code.BAD_USER_INPUT)
        return cast("SplicingExecutor", executor)


def _retrieve(reading: "asyncio.Future[Document]") -> None:
    """Keep asyncio from logging an exception that no caller waits for any longer."""
    if not reading.cancelled():
        reading.exception()


def _named(operation: OperationDefinitionNode) -> str:
    """What the log calls an operation: its kind, and its name where it has one."""
    kind = operation.operation.value
    return kind if operation.name is None else f"{kind} {operation.name.value}"


def _part_tokens(document: DocumentNode) -> None:
    """Take a document's tokens apart, which know each other in a circle.

    So a document goes as soon as nobody needs it. Otherwise thousands wait for Python's garbage collector,
    which then stops everything for tenths of a second.
    """
    token = document.loc.start_token if document.loc else None
    while token is not None:
        following = token.next
        token.prev = token.next = None
        token = following


def _nested_too_deeply() -> RequestRefused:
    return RequestRefused([GraphQLError("The document is nested too deeply.")], Code.GRAPHQL_PARSE_FAILED)


def _too_dear(cost: int, maximum: int) -> GraphQLError:
    return GraphQLError(
        f"The document could return {cost} objects; at most {maximum} are allowed. Ask for smaller pages.",
        extensions={"cost": {"requested": cost, "maximum": maximum}},
    )
