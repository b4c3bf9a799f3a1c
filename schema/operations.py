"""A request's way from text to result: parse, judge, select, weigh, execute."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from graphql import (
    ExecutionResult,
    GraphQLError,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    parse,
    specified_rules,
    validate,
)
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule

from resolvers.errors import Unauthenticated
from schema.context import Context
from schema.errors import Code, RequestRefused
from schema.executor import SplicingExecutor
from schema.graph import graphql_schema
from schema.limits import LimitExceeded, Limits, check_form
from schema.prepared import Document, PreparedOperations


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
        self._prepared = PreparedOperations(limits.max_tokens)

    async def execute(self, request: Request, context: Context) -> Outcome:
        """Execute a request. Raises RequestRefused when nothing of it was, and MutationNotAllowed."""
        document = self._document(request.query)
        executor = self._executor(document, request, context)
        context.record.operation = _named(executor.operation)
        if executor.operation.operation is OperationType.MUTATION and not request.may_mutate:
            raise MutationNotAllowed
        try:
            prepared = self._prepared.operation(document, executor)
            if context.viewer.is_anonymous and not prepared.outline.is_open(executor):
                raise Unauthenticated
        except Unauthenticated as error:
            raise RequestRefused([GraphQLError(str(error))], Code.UNAUTHENTICATED) from None
        except LimitExceeded as error:
            raise RequestRefused([error], Code.GRAPHQL_VALIDATION_FAILED) from None
        except GraphQLError as error:
            raise RequestRefused([error], Code.BAD_USER_INPUT) from None
        if self.limits.max_cost and prepared.cost > self.limits.max_cost:
            raise RequestRefused([_too_dear(prepared.cost, self.limits.max_cost)], Code.COST_LIMIT_EXCEEDED)
        context.shapes = prepared.shapes
        result = executor.execute_operation()
        if inspect.isawaitable(result):
            result = await result
        return Outcome(cast("ExecutionResult", result), prepared.cost)

    def _document(self, text: str) -> Document:
        known = self._prepared.document(text)
        if known is not None:
            return known
        try:
            document = parse(
                text, max_tokens=self.limits.max_tokens or None, allow_empty_selection_sets=False
            )
            check_form(document, self.limits)
        except LimitExceeded as error:
            raise RequestRefused([error], Code.GRAPHQL_VALIDATION_FAILED) from None
        except GraphQLError as error:
            raise RequestRefused([error], Code.GRAPHQL_PARSE_FAILED) from None
        except RecursionError:
            raise RequestRefused(
                [GraphQLError("The document is nested too deeply.")], Code.GRAPHQL_PARSE_FAILED
            ) from None
        errors = validate(graphql_schema, document, self._rules, hide_suggestions=not self._introspection)
        if errors:
            raise RequestRefused(errors, Code.GRAPHQL_VALIDATION_FAILED)
        return self._prepared.keep(text, document)

    def _executor(self, document: Document, request: Request, context: Context) -> SplicingExecutor:
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


def _named(operation: OperationDefinitionNode) -> str:
    """What the log calls an operation: its kind, and its name where it has one."""
    kind = operation.operation.value
    return kind if operation.name is None else f"{kind} {operation.name.value}"


def _too_dear(cost: int, maximum: int) -> GraphQLError:
    return GraphQLError(
        f"The document could return {cost} objects; at most {maximum} are allowed. Ask for smaller pages.",
        extensions={"cost": {"requested": cost, "maximum": maximum}},
    )
