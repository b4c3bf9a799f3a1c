"""Pages of lists, by number or by cursor: their parameters and their envelopes."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, ClassVar, Self

import orjson
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from db.reads import NOUNS
from db.shaping import cost, cursors
from db.shaping.scans import with_scan_costs
from db.shaping.selection import (
    Connection,
    Echo,
    Filter,
    Group,
    NextCursor,
    Nodes,
    Page,
    Part,
    Scalar,
    Selected,
    Total,
    Values,
)
from resolvers import paging
from resolvers.errors import Fault, FaultCode
from resolvers.inputs import Input, invalid
from resolvers.paging import FilterValue

# Both databases use at least 32 bits for numbers of rows.
MAX_NUMBER = 2**31 - 1

_POSITIVE = re.compile(r"0*([1-9][0-9]*)")
_FINGERPRINT_LENGTH = 16


def positive(text: str) -> int:
    """Return the whole number that a parameter has. Raises PydanticCustomError unless it is at least 1."""
    found = _POSITIVE.fullmatch(text)
    if found is None:
        raise invalid("must be an integer of at least 1")
    # Python refuses to parse thousands of digits. Twenty digits are enough to exceed every limit.
    return int(found[1][:20])


def _page(number: int) -> int:
    if number > MAX_NUMBER:
        raise invalid(f"must be at most {MAX_NUMBER}")
    return number


def _per_page(number: int) -> int:
    return min(number, paging.MAX_SIZE)


def _with_plus(text: object) -> object:
    return text.replace(" ", "+") if isinstance(text, str) else text


WITH_PLUS = BeforeValidator(_with_plus)
"""Marks a time in a query. If the plus sign of the offset is not encoded, it arrives as a space."""


def _is_true(word: object) -> object:
    if word not in {"true", "false"}:
        raise invalid("must be true or false")
    return word == "true"


TRUE_OR_FALSE = BeforeValidator(_is_true, json_schema_input_type=bool)
"""Marks a boolean in a query."""


@dataclass(frozen=True, slots=True)
class FilterOf:
    """Annotates a parameter with the name of the noun's filter, if the two names differ."""

    name: str


class PageQuery(Input):
    """Query parameters of all lists. An empty parameter is ignored, unless it is `cursor`.

    Parameters that a subclass adds are filters of the noun (see `FilterOf`).
    """

    noun: ClassVar[str]

    page: Annotated[
        int,
        BeforeValidator(positive),
        AfterValidator(_page),
        Field(
            description="Page number, starting at 1.", json_schema_extra={"minimum": 1, "maximum": MAX_NUMBER}
        ),
    ] = 1
    per_page: Annotated[
        int,
        BeforeValidator(positive),
        AfterValidator(_per_page),
        Field(
            description=f"Number of items on a page. Values above {paging.MAX_SIZE} count as "
            f"{paging.MAX_SIZE}.",
            json_schema_extra={"minimum": 1},
        ),
    ] = paging.DEFAULT_SIZE
    cursor: str | None = Field(
        None,
        description="Reads the list with cursors instead of page numbers. Send an empty value for the "
        "first page, then `next_cursor` of the previous page. If items are added or deleted in the "
        "meantime, no other item is repeated or left out. Not allowed together with `page`.",
    )
    _fingerprint: str = PrivateAttr("")

    @classmethod
    def faults_of_the_whole(cls, values: Mapping[str, object]) -> list[Fault]:
        if values.get("page") and "cursor" in values:
            return [Fault(FaultCode.INVALID, "cannot be given together with page", ("cursor",))]
        return []

    @model_validator(mode="before")
    @classmethod
    def _given(cls, values: Mapping[str, object]) -> Mapping[str, object]:
        return {name: value for name, value in values.items() if value != "" or name == "cursor"}

    @field_validator("cursor")
    @classmethod
    def _cursor_of_this_noun(cls, cursor: str) -> str:
        noun = NOUNS[cls.noun]
        if cursor:
            try:
                cursors.decode(noun.cursor_tag(*noun.default_order), _place(cursor))
            except cursors.InvalidCursor:
                raise invalid("is not a cursor of this list, or was altered") from None
        return cursor

    @model_validator(mode="after")
    def _cursor_of_this_list(self, info: ValidationInfo) -> Self:
        """Compute the fingerprint of this list and its filters. Raise if the cursor has another fingerprint.

        The context of the validation has the account and the app of this list.
        """
        if self.cursor is None:
            return self
        of_list = [(info.context or {}).get(name) for name in ("account_id", "slug")]
        text = orjson.dumps(
            [self.noun, *of_list, [each for each in self.filters().items() if each[1] not in {None, ""}]]
        )
        self._fingerprint = hashlib.sha256(text).hexdigest()[:_FINGERPRINT_LENGTH]
        if self.cursor and not self.cursor.endswith(f".{self._fingerprint}"):
            raise invalid("belongs to another list or another filter", FaultCode.INVALID, "cursor")
        return self

    def filters(self) -> dict[str, FilterValue]:
        """Return the values of the noun's filters, by name. Filters that were not given are empty."""
        return {filter_name: getattr(self, name) for name, filter_name in _filter_names(type(self)).items()}

    def selection(self, fields: tuple[Scalar, ...]) -> Selected[Connection]:
        """Return the selection of the page, in the noun's default order. Raises BadUserInput.

        The page is in `data`, and `meta` is next to it.
        """
        values, noun = Values(), NOUNS[self.noun]
        filters = tuple(self.filters().items())
        if self.cursor is None:
            for value in (self.page, self.per_page, min((self.page - 1) * self.per_page, MAX_NUMBER)):
                values.slot(value)
            chosen = tuple(paging.filters(noun, filters, values))
            return Selected(_numbered(self.noun, fields, chosen), tuple(values.items))
        after = _place(self.cursor) if self.cursor else None
        page = paging.page(noun, paging.PageArguments(self.per_page, after, filters=filters), values)
        suffix = values.slot(f".{self._fingerprint}")
        meta = (Echo("per_page", page.size), NextCursor("next_cursor", suffix))
        return Selected(_selection(self.noun, fields, page, meta), tuple(values.items))


def cost_of_page(selected: Selected[Connection]) -> int:
    """Return what a page costs."""
    return _cost(selected.selection).of(selected.values)


def _place(cursor: str) -> str:
    """Return the cursor of a row: the part of a REST cursor before the fingerprint of the list."""
    return cursor.rpartition(".")[0]


@cache
def _filter_names(query: type[PageQuery]) -> Mapping[str, str]:
    """Return the name of the filter for each parameter that a list adds to those of `PageQuery`."""
    return {
        name: next((each.name for each in info.metadata if isinstance(each, FilterOf)), name)
        for name, info in query.model_fields.items()
        if name not in PageQuery.model_fields
    }


# The size of these caches is bounded: there are few entries for each list and combination of filters.
_cost = cache(cost.cost_of_page)


@cache
def _numbered(noun: str, fields: tuple[Scalar, ...], filters: tuple[Filter, ...]) -> Connection:
    """Return the selection of a numbered page.

    The first slots have the page number, the page size and the number of rows to skip.
    """
    number, size, skipped = range(3)
    order, descending = NOUNS[noun].default_order
    page = Page(order=order, descending=descending, size=size, offset=skipped, filters=filters)
    return _selection(noun, fields, page, (Total("total"), Echo("page", number), Echo("per_page", size)))


@cache
def _selection(noun: str, fields: tuple[Scalar, ...], page: Page, meta: tuple[Part, ...]) -> Connection:
    connection = f"{noun.lower()}s"
    parts = (Nodes("data", fields), Group("meta", meta))
    selected = Connection(connection, connection, noun, page, parts)
    return with_scan_costs(selected, NOUNS[noun], NOUNS["App"].connections.get(connection))
