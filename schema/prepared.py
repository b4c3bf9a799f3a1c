"""What has been worked out for documents seen before: who brings one again pays for its variables alone."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import orjson
from cachetools import LRUCache
from graphql import DirectiveNode, DocumentNode, GraphQLField, Node, VariableNode, Visitor, visit
from orjson import Fragment

from db.shaping.nouns import Noun
from db.sizes import size_of
from schema.context import AnyShape
from schema.executor import SplicingExecutor
from schema.roots import Answers, Judged, Outline, ResponsePath, Survey, judge
from schema.selections import Form

LONG = 1_000
"""From how many characters on it may take some milliseconds to go over an operation."""

CACHED_BYTES = 32 << 20
_LARGEST = CACHED_BYTES // 8

# Of the syntax tree, at most: a field that is nothing but a name. Comments, which count too, take far less.
_TOKEN_BYTES = 640
_ENTRY_BYTES = 512  # what a dictionary or the cache itself needs for an entry
_NOT_OURS = (Node, GraphQLField, Noun)  # counted with the document, or there anyway

_Operation: TypeAlias = tuple[str | None, tuple[Any, ...]]


@dataclass(slots=True, eq=False)
class Document:
    """A valid document, with what has been worked out for it.

    `switches` are the variables that its directives (@skip, @include) read; `takes_long`: going over an
    operation of it may take some milliseconds or more. `outlines` are those of its operations, by the values
    of these; `answers` what each root answers, by outline and by the form that the arguments take;
    `introspected` the data of operations that ask for the schema alone. `size` is what all of it takes, in
    bytes, estimated from above. `turn` is whose turn it is to work on it.
    """

    text: str
    node: DocumentNode
    switches: tuple[str, ...]
    takes_long: bool
    turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    outlines: dict[_Operation, Outline] = field(default_factory=dict, init=False)
    introspected: dict[str | None, dict[str, Fragment]] = field(default_factory=dict, init=False)
    answers: dict[tuple[Outline, tuple[Form, ...]], Answers] = field(default_factory=dict, init=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.forget()

    def add(self, operation: _Operation, survey: Survey) -> None:
        """Keep what was worked out for an operation."""
        forms = tuple(survey.judged.forms)
        outline = self.outlines.get(operation)
        if outline is None:
            outline = self.outlines[operation] = survey.outline
            self.size += _ENTRY_BYTES + size_of(operation, outline, apart_from=_NOT_OURS)
        self.answers[outline, forms] = replace(survey.answers, outline=outline)
        self.size += _ENTRY_BYTES + size_of(forms, survey.answers.roots, apart_from=_NOT_OURS)

    def add_introspected(self, operation: str | None, data: Mapping[str, Any]) -> None:
        """Keep the data of an operation that asks for the schema alone, and has no variables."""
        written = {key: orjson.dumps(value) for key, value in data.items()}
        self.introspected[operation] = {key: Fragment(text) for key, text in written.items()}
        self.size += _ENTRY_BYTES + sum(map(len, written.values()))

    def forget(self) -> None:
        """Keep the document alone."""
        self.introspected.clear()
        self.outlines.clear()
        self.answers.clear()
        self.size = _ENTRY_BYTES + _TOKEN_BYTES * self.node.token_count + 2 * sys.getsizeof(self.text)


@dataclass(frozen=True, slots=True)
class Prepared:
    """An operation with the values of one request: what it answers, and what it costs."""

    outline: Outline
    shapes: dict[ResponsePath, AnyShape]
    cost: int


class PreparedOperations:
    """The one home of what is kept of documents; the one that was not used for longest goes first.

    All of it takes 32 MiB (`CACHED_BYTES`) at most: parsed and validated documents by their text, and with
    each what has been worked out for it. A document takes an eighth of that at most; one that grows beyond
    is worked out anew, and one that is larger by itself is not kept. Nothing is ever invalid: all of it
    follows from the text, the schema and the limits, which are the process's own.
    """

    def __init__(self) -> None:
        self._documents: LRUCache[str, Document] = LRUCache(
            CACHED_BYTES, getsizeof=lambda document: document.size
        )

    def document(self, text: str) -> Document | None:
        """The valid document of this text, if it was seen before."""
        return self._documents.get(text)

    def operation(self, document: Document, executor: SplicingExecutor) -> Prepared | None:
        """The executor's operation with its values, if it was worked out before. Raises GraphQLError."""
        outline = document.outlines.get(_operation(document, executor))
        if outline is None:
            return None
        judged = judge(outline, executor)
        answers = document.answers.get((outline, tuple(judged.forms)))
        return None if answers is None else _prepared(answers, judged)

    def add(self, document: Document, executor: SplicingExecutor, survey: Survey) -> Prepared:
        """Add what was worked out for the executor's operation."""
        document.add(_operation(document, executor), survey)
        return _prepared(survey.answers, survey.judged)

    def keep(self, document: Document) -> None:
        """Keep a document that is new, or that has grown."""
        if document.size > _LARGEST:
            document.forget()
        if document.size <= _LARGEST:
            self._documents[document.text] = document


def _prepared(answers: Answers, judged: Judged) -> Prepared:
    return Prepared(answers.outline, answers.shapes(judged), answers.cost(judged))


def document_of(text: str, node: DocumentNode) -> Document:
    """A document that has been found valid."""
    switches = _Switches()
    visit(node, switches)
    asks_for_schema = "__" in text.replace("__typename", "")  # or looks as if it did
    takes_long = len(text) >= LONG or asks_for_schema
    return Document(text, node, tuple(sorted(switches.names)), takes_long)


def _operation(document: Document, executor: SplicingExecutor) -> _Operation:
    name = executor.operation.name
    coerced = executor.variable_values.coerced
    switches = tuple(coerced.get(switch) for switch in document.switches)
    return None if name is None else str(name.value), switches


class _Switches(Visitor):
    """Gathers the names of the variables in directives."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_directive(self, node: DirectiveNode, *_: object) -> None:
        for argument in node.arguments or ():
            if isinstance(argument.value, VariableNode):
                self.names.add(argument.value.name.value)
