"""What has been worked out for documents seen before: who brings one again pays for its variables alone."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from cachetools import LRUCache
from graphql import DirectiveNode, DocumentNode, VariableNode, Visitor, visit

from schema.context import AnyShape
from schema.executor import SplicingExecutor
from schema.roots import Answers, Judged, Outline, ResponsePath, Survey, judge
from schema.selections import Form

CACHED_CHARACTERS = 2_000_000
CACHED_FIELDS = 100_000


@dataclass(frozen=True, slots=True)
class Document:
    """A valid document. `switches` are the variables that its directives (@skip, @include) read."""

    text: str
    node: DocumentNode
    switches: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """An operation with the values of one request: what it answers, and what it costs."""

    outline: Outline
    shapes: dict[ResponsePath, AnyShape]
    cost: int


_Operation: TypeAlias = tuple[str, str | None, tuple[Any, ...]]


class PreparedOperations:
    """The one home of what is kept of documents; what was not used for longest goes first.

    - parsed and validated documents by their text, up to `CACHED_CHARACTERS` characters in all;
    - the outline of each of their operations, by the values of the variables in directives;
    - what each root answers, by outline and by the form that the arguments take; together with the outlines
      up to `CACHED_FIELDS` selected fields (fragments let a short text select much).

    A stream of ever new documents so takes some tens of megabytes at most. Nothing is ever invalid: all of it
    follows from the text, the schema and the limits, which are the process's own.
    """

    def __init__(self, max_fields: int) -> None:
        """`max_fields` bounds what fragments of one operation may unfold to; 0 sets no bound."""
        self._max_fields = max_fields
        self._documents: LRUCache[str, Document] = LRUCache(
            CACHED_CHARACTERS, getsizeof=lambda document: len(document.text)
        )
        self._outlines: LRUCache[_Operation, Outline] = LRUCache(
            CACHED_FIELDS // 2, getsizeof=lambda outline: 1 + outline.fields
        )
        self._answers: LRUCache[tuple[Outline, tuple[Form, ...]], Answers] = LRUCache(
            CACHED_FIELDS // 2, getsizeof=lambda answers: 1 + answers.outline.fields
        )

    def document(self, text: str) -> Document | None:
        """The valid document of this text, if it was seen before."""
        return self._documents.get(text)

    def keep(self, text: str, node: DocumentNode) -> Document:
        """Keep a document that has been found valid."""
        switches = _Switches()
        visit(node, switches)
        document = Document(text, node, tuple(sorted(switches.names)))
        if len(text) <= CACHED_CHARACTERS:
            self._documents[text] = document
        return document

    def operation(self, document: Document, executor: SplicingExecutor) -> Prepared:
        """The executor's operation with its values. Raises GraphQLError and LimitExceeded for those."""
        name = executor.operation.name
        coerced = executor.variable_values.coerced
        key = (
            document.text,
            None if name is None else str(name.value),
            tuple(coerced.get(switch) for switch in document.switches),
        )
        outline = self._outlines.get(key)
        if outline is not None:
            judged = judge(outline, executor)
            answers = self._answers.get((outline, tuple(judged.forms)))
            if answers is not None:
                return _prepared(answers, judged)
        survey = Survey(executor, self._max_fields)
        if outline is None and survey.outline.fields < self._outlines.maxsize:
            self._outlines[key] = outline = survey.outline
        if outline is not None:
            self._answers[outline, tuple(survey.judged.forms)] = survey.answers
        return _prepared(survey.answers, survey.judged)


def _prepared(answers: Answers, judged: Judged) -> Prepared:
    return Prepared(answers.outline, answers.shapes(judged), answers.cost(judged))


class _Switches(Visitor):
    """Gathers the names of the variables in directives."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_directive(self, node: DirectiveNode, *_: object) -> None:
        for argument in node.arguments or ():
            if isinstance(argument.value, VariableNode):
                self.names.add(argument.value.name.value)
