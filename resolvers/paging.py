"""Paging: the defaults and bounds of both doors' pages, and cursors as they come in."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from db.shaping import cursors
from db.shaping.nouns import Noun
from db.shaping.selection import After, Filter, Page, Slot, Values
from resolvers.errors import BadUserInput
from resolvers.inputs import is_storable

DEFAULT_SIZE = 20
MAX_SIZE = 100
MAX_FILTER_LENGTH = 255


@dataclass(frozen=True, slots=True)
class PageArguments:
    """Which rows of a connection are asked for, as a caller says it. None: not given.

    `order` is the name of an order and whether it descends.
    """

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None
    order: tuple[str, bool] | None = None
    filters: tuple[tuple[str, str | datetime], ...] = ()

    @property
    def size(self) -> int:
        """How many rows the page may hold."""
        return next((size for size in (self.first, self.last) if size is not None), DEFAULT_SIZE)


def page(noun: Noun, arguments: PageArguments, values: Values) -> Page:
    """Check a page's arguments and put their values into slots. Raises BadUserInput."""
    _check(arguments)
    order, descending = arguments.order or noun.default_order
    backward = arguments.last is not None or arguments.before is not None
    return Page(
        order=order,
        descending=descending,
        size=values.slot(arguments.size),
        backward=backward,
        after=_place(noun, order, descending, arguments, values),
        filters=tuple(filters(noun, arguments.filters, values)),
    )


def at_most(bound: int | None, values: Values) -> Slot | None:
    """Check how far rows are counted at most and put it into a slot. Raises BadUserInput."""
    if bound is None:
        return None
    if bound < 1:
        raise BadUserInput("at_most", "must be at least 1")
    return values.slot(bound)


def filters(noun: Noun, wanted: Iterable[tuple[str, str | datetime]], values: Values) -> list[Filter]:
    """Put filters into slots. An empty text is no filter. Raises BadUserInput."""
    chosen = []
    for name, value in wanted:
        if isinstance(value, str):
            _check_text(name, value)
        if value:
            chosen.append(Filter(name, values.slot(noun.filters[name].bind(value))))
    return chosen


def _check_text(name: str, text: str) -> None:
    if not is_storable(text):
        raise BadUserInput(name, "must not contain NUL or lone surrogates")
    if len(text) > MAX_FILTER_LENGTH:
        raise BadUserInput(name, f"is too long (maximum is {MAX_FILTER_LENGTH} characters)")


def _check(arguments: PageArguments) -> None:
    for name, size in (("first", arguments.first), ("last", arguments.last)):
        if size is not None and not 1 <= size <= MAX_SIZE:
            raise BadUserInput(name, f"must be between 1 and {MAX_SIZE}")
    if arguments.first is not None and arguments.last is not None:
        raise BadUserInput("last", "cannot be given together with first")
    if arguments.before is not None and (arguments.first is not None or arguments.after is not None):
        raise BadUserInput("before", "goes with last, not with first or after")
    if arguments.after is not None and arguments.last is not None:
        raise BadUserInput("after", "goes with first, not with last")


def _place(
    noun: Noun, order: str, descending: bool, arguments: PageArguments, values: Values
) -> After | None:
    name, text = ("after", arguments.after) if arguments.after is not None else ("before", arguments.before)
    if text is None:
        return None
    try:
        place = cursors.decode(noun.cursor_tag(order, descending), text)
    except cursors.InvalidCursor as error:
        raise BadUserInput(name, str(error)) from None
    ordered = noun.orders[order].column is not None
    return After(
        id=values.slot(place.id),
        value=None if place.value is None else values.slot(place.value),
        null=ordered and place.value is None,
    )
