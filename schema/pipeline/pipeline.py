"""Runs the stages in order: parse, validate, plan, bind, execute."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    get_operation_ast,
)

from asgi.idempotency import key_of
from resolvers.errors import Busy, Unauthenticated
from schema.pipeline.bind import Bound, arguments_of, bind, filled, needs_key
from schema.pipeline.cache import Document, DocumentCache, PlanKey
from schema.pipeline.context import Context
from schema.pipeline.documents import Documents
from schema.pipeline.errors import Code, MutationNotAllowed, RequestRefused
from schema.pipeline.execute import Executor
from schema.pipeline.input_errors import errors_of_variables
from schema.pipeline.limits import LimitExceeded, Limits, check_cost, check_variables
from schema.pipeline.plan import Plan, plan
from schema.pipeline.variables import with_sent
from schema.pipeline.worker import TOO_MANY, WAIT_S, Worker


@dataclass(frozen=True, slots=True)
class Request:
    """A GraphQL request. With `cost_only`, only its cost is computed.

    If the client sent the id of a registered document, `query` is the text of this document.
    """

    query: str
    variables: Mapping[str, Any] | None = None
    operation_name: str | None = None
    may_mutate: bool = True
    cost_only: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a request, and its cost."""

    result: ExecutionResult
    cost: int


class Pipeline:
    """Executes requests against a schema, within limits. There is one pipeline per process."""

    def __init__(self, schema: GraphQLSchema, limits: Limits, *, introspection: bool = True) -> None:
        self.limits = limits
        self._schema = schema
        self._introspection = introspection
        self._worker = Worker()
        self.documents = Documents(schema, limits, self._worker, introspection=introspection)
        self._cache = DocumentCache()

    async def run(self, request: Request, context: Context) -> Outcome:
        """Execute a request.

        Raises Busy, RateLimited, HttpRefusal, MutationNotAllowed and RequestRefused if the request was not
        executed.
        """
        document = self._cache.get(request.query)
        if document is not None:
            return await self._run(document, request, context)
        reading = self.documents.reading(request.query, request.operation_name, context.viewer)
        async with reading as document:
            return await self._run(document, request, context)

    async def _run(self, document: Document, request: Request, context: Context) -> Outcome:
        size = document.size
        executor = self._executor(document, request, context)
        context.record.operation = _described(executor.operation)
        try:
            if executor.operation.operation is OperationType.MUTATION:
                if not request.may_mutate:
                    raise MutationNotAllowed
                context.idempotency_key = key_of(context.sent_keys)
            planned, bound = await self._allowed(document, executor, context)
            if request.cost_only:
                return Outcome(ExecutionResult(None), bound.cost)
            check_cost(bound.cost, self.limits)
            # Refused documents are not kept, so that they do not replace useful ones.
            if document.size != size or document.text not in self._cache:
                self._cache.keep(document)
            context.meter.take(bound.cost, planned.quotas(executor.variable_values))
            context.selected, context.nouns = bound.selected, planned.nouns
            execute = self._introspected if planned.is_introspection else self._executed
            return Outcome(await execute(document, executor), bound.cost)
        finally:
            executor.release()

    async def _allowed(self, document: Document, executor: Executor, context: Context) -> tuple[Plan, Bound]:
        """Plan and bind an operation, and require a key if it needs one. Raises RequestRefused and Busy."""
        try:
            planned, bound = await self._bound(document, executor)
            if context.viewer.is_anonymous and needs_key(planned, executor.variable_values):
                raise Unauthenticated(context.viewer.unauthenticated)
        except Unauthenticated as error:
            raise RequestRefused([GraphQLError(str(error))], Code.UNAUTHENTICATED) from None
        except GraphQLError as error:
            raise RequestRefused([error], Code.BAD_USER_INPUT) from None
        return planned, bound

    async def _bound(self, document: Document, executor: Executor) -> tuple[Plan, Bound]:
        """Plan and bind an operation, in the worker's thread if this may be slow.

        Raises GraphQLError and Busy.
        """
        if not document.takes_long or _is_known(document, executor):
            return _planned_and_bound(document, executor)
        async with self._turn(document):
            if _is_known(document, executor):
                return _planned_and_bound(document, executor)
            return await self._worker.run(_planned_and_bound, document, executor)

    async def _executed(self, _document: Document, executor: Executor) -> ExecutionResult:
        result = executor.execute_operation()
        if inspect.isawaitable(result):
            result = await result
        return cast("ExecutionResult", result)

    async def _introspected(self, document: Document, executor: Executor) -> ExecutionResult:
        """Return the result of an operation that only queries the schema.

        Without variables, the result of an operation never changes, so it is kept.
        """
        name = executor.operation.name.value if executor.operation.name else None
        if name in document.introspected:
            return ExecutionResult(dict[str, Any](document.introspected[name]))
        async with self._turn(document):
            if name in document.introspected:
                return ExecutionResult(dict[str, Any](document.introspected[name]))
            result = cast("ExecutionResult", await self._worker.run(executor.execute_operation))
            if result.data is not None and not result.errors and not executor.operation.variable_definitions:
                document.add_introspected(name, result.data)
                self._cache.keep(document)
            return result

    def _executor(self, document: Document, request: Request, context: Context) -> Executor:
        """Choose the operation and coerce the variables. Raises RequestRefused."""
        try:
            check_variables(request.variables or {})
        except LimitExceeded as error:
            raise RequestRefused([error], Code.BAD_USER_INPUT) from None
        executor = Executor.build(
            self._schema,
            document.node,
            context_value=context,
            raw_variable_values=dict(request.variables or {}),
            operation_name=request.operation_name,
            hide_suggestions=not self._introspection,
        )
        if isinstance(executor, list):
            errors = self._errors_of_variables(document, request) or executor
            raise RequestRefused(errors, Code.BAD_USER_INPUT)
        executor.variable_values = with_sent(executor.variable_values)
        return cast("Executor", executor)

    def _errors_of_variables(self, document: Document, request: Request) -> list[GraphQLError]:
        operation = get_operation_ast(document.node, request.operation_name)
        if operation is None:
            return []
        return errors_of_variables(
            self._schema, operation, request.variables or {}, hide_suggestions=not self._introspection
        )

    @asynccontextmanager
    async def _turn(self, document: Document) -> AsyncIterator[None]:
        """Let one request at a time work on a document. Raises Busy if a request must wait too long.

        Requests for the same document therefore take only one of the worker's places.
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


def _planned_and_bound(document: Document, executor: Executor) -> tuple[Plan, Bound]:
    """Plan and bind an operation. Results that are in the cache are reused. Raises GraphQLError."""
    key = _key(document, executor)
    planned = document.plans.get(key)
    if planned is None:
        switches = dict(zip(document.switches, key[1], strict=True))
        planned = plan(executor.schema, executor.operation, executor.fragments, switches)
        document.add_plan(key, planned)
    arguments = arguments_of(planned, executor.variable_values)
    fields = document.variants.get((planned, arguments.variant))
    if fields is None:
        fields = filled(planned, arguments.variant)
        document.add_variant(planned, arguments.variant, fields)
    return planned, bind(planned, arguments, fields)


def _is_known(document: Document, executor: Executor) -> bool:
    """Return True if the plan and the variant of this request are in the cache. Raises GraphQLError."""
    planned = document.plans.get(_key(document, executor))
    if planned is None:
        return False
    return (planned, arguments_of(planned, executor.variable_values).variant) in document.variants


def _key(document: Document, executor: Executor) -> PlanKey:
    name = executor.operation.name
    coerced = executor.variable_values.coerced
    return None if name is None else str(name.value), tuple(coerced.get(each) for each in document.switches)


def _described(operation: OperationDefinitionNode) -> str:
    """Return an operation as the log names it: its kind, and its name if it has one."""
    kind = operation.operation.value
    return kind if operation.name is None else f"{kind} {operation.name.value}"
