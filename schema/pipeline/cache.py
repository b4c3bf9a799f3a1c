"""The cache of documents. If a document is sent again, only work that depends on variables is repeated."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson
from cachetools import LRUCache
from graphql import DocumentNode, GraphQLField, Node
from orjson import Fragment

from db.shaping.nouns import Noun
from db.sizes import size_of
from schema.pipeline.bind import Filled, Variant
from schema.pipeline.plan import Plan

CACHED_BYTES = 32 << 20
_LARGEST = CACHED_BYTES // 8

# The maximum number of bytes per token in the syntax tree. Fields without arguments need this many. Comments
# also count as tokens, but need far fewer bytes.
_TOKEN_BYTES = 640
_ENTRY_BYTES = 512  # overhead per entry, in a dictionary or in the cache
# Nodes are counted with the document. Fields and nouns are not counted, because all documents share them.
_COUNTED_ELSEWHERE = (Node, GraphQLField, Noun)

PlanKey: TypeAlias = tuple[str | None, tuple[Any, ...]]
"""The name of an operation, and the values of the variables in its directives."""


@dataclass(slots=True, eq=False)
class Document:
    """A valid document, with the results of the later stages.

    `switches` are the names of the variables in its directives (@skip, @include). `takes_long` is True if
    planning one of its operations may take milliseconds. `variants` has the filled fields for each plan and
    variant. `introspected` has the results of operations that only query the schema. `size` is an upper
    estimate of the memory for the document and its results, in bytes. A request holds the lock `turn`
    while it does slow work on the document.
    """

    text: str
    node: DocumentNode
    switches: tuple[str, ...]
    takes_long: bool
    turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    plans: dict[PlanKey, Plan] = field(default_factory=dict, init=False)
    variants: dict[tuple[Plan, Variant], tuple[Filled, ...]] = field(default_factory=dict, init=False)
    introspected: dict[str | None, dict[str, Fragment]] = field(default_factory=dict, init=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.forget()

    def add_plan(self, key: PlanKey, plan: Plan) -> None:
        """Keep a plan."""
        self.plans[key] = plan
        self.size += _ENTRY_BYTES + size_of(key, plan, apart_from=_COUNTED_ELSEWHERE)

    def add_variant(self, plan: Plan, variant: Variant, fields: tuple[Filled, ...]) -> None:
        """Keep the filled fields of one variant of a plan."""
        self.variants[plan, variant] = fields
        self.size += _ENTRY_BYTES + size_of(variant, fields, apart_from=_COUNTED_ELSEWHERE)

    def add_introspected(self, operation: str | None, data: Mapping[str, Any]) -> None:
        """Keep the result of an operation that only queries the schema and has no variables."""
        written = {key: orjson.dumps(value) for key, value in data.items()}
        self.introspected[operation] = {key: Fragment(text) for key, text in written.items()}
        self.size += _ENTRY_BYTES + sum(map(len, written.values()))

    def forget(self) -> None:
        """Drop all results, and keep only the document itself."""
        self.introspected.clear()
        self.plans.clear()
        self.variants.clear()
        self.size = _ENTRY_BYTES + _TOKEN_BYTES * self.node.token_count + 2 * sys.getsizeof(self.text)


class DocumentCache:
    """Keeps documents by their text. If there is no space left, the least recently used one is dropped.

    All documents together take at most 32 MiB (`CACHED_BYTES`), and each takes at most an eighth of that. If
    a document grows beyond its limit, its plans and other results are dropped. If the document alone is too
    large, it is not kept. Entries never become invalid: they only depend on the text, the schema and the
    limits, which do not change.
    """

    def __init__(self) -> None:
        self._documents: LRUCache[str, Document] = LRUCache(
            CACHED_BYTES, getsizeof=lambda document: document.size
        )

    def get(self, text: str) -> Document | None:
        """Return the valid document with this text, if it is in the cache."""
        return self._documents.get(text)

    def __contains__(self, text: str) -> bool:
        return text in self._documents

    def keep(self, document: Document) -> None:
        """Keep a document that is new or has grown."""
        if document.size > _LARGEST:
            document.forget()
        if document.size <= _LARGEST:
            self._documents[document.text] = document

    @property
    def size(self) -> int:
        """The total size of all documents in bytes. Each was measured when it was last kept."""
        return int(self._documents.currsize)
