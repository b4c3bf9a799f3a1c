"""Paging for GraphQL and REST: the default and maximum page sizes, and the checks of page arguments."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeAlias

from pydantic import Field

from db.shaping import cursors
from db.shaping.nouns import Noun, ToMany
from db.shaping.selection import After, Filter, Page, Slot, Values
from resolvers.errors import BadUserInput
from resolvers.inputs import Text, is_storable

DEFAULT_SIZE = 20
MAX_SIZE = 100
MAX_FILTER_LENGTH = 255

FilterText: TypeAlias = Annotated[Text, Field(max_length=MAX_FILTER_LENGTH)]
"""The text of a filter. An empty text is ignored."""
FilterValue: TypeAlias = str | Sequence[str] | datetime | bool | None


@dataclass(frozen=True, slots=True)
class PageArguments:
    """The page arguments of a connection. None means that an argument was not given.

    `order` is the name of an order, and whether it is descending.
    """

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None
    order: tuple[str, bool] | None = None
    filters: tuple[tuple[str, FilterValue], ...] = ()

    @property
    def size(self) -> int:
        """The maximum number of rows on the page."""
        return next((size for size in (self.first, self.last) if size is not None), DEFAULT_SIZE)


def page(noun: Noun, arguments: PageArguments, values: Values, relation: ToMany | None = None) -> Page:
    """Check a page's arguments, put their values into slots, and return the page. Raises BadUserInput.

    `relation` is the relation of the connection to its parent, or None for the whole account.
    """
    _check(arguments)
    order, descending = arguments.order or noun.default_order
    if relation is not None:
        order = relation.replaced_orders.get(order, order)
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
    """Check the number at which counting stops, and return a slot with it. Raises BadUserInput.

    Returns None if there is no such number.
    """
    if bound is None:
        return None
    if bound < 1:
        raise BadUserInput("at_most", "must be at least 1")
    return values.slot(bound)


def number(argument: str, given: int, most: int, values: Values) -> Slot:
    """Check that a number is from 1 to `most`, and return a slot with it. Raises BadUserInput."""
    if not 1 <= given <= most:
        raise BadUserInput(argument, f"must be between 1 and {most}")
    return values.slot(given)


def filters(noun: Noun, wanted: Iterable[tuple[str, FilterValue]], values: Values) -> list[Filter]:
    """Return the filters with these names, and put their values into slots. Raises BadUserInput.

    A filter is ignored if its value is None or empty, or if the noun's `Condition.bind` makes it empty.
    """
    chosen = []
    for name, value in wanted:
        if isinstance(value, str):
            check_text(name, value)
        bound = noun.filters[name].bind(value) if value or value is False else ""
        if bound:
            chosen.append(Filter(name, values.slot(bound)))
    return chosen


def check_text(name: str, text: str) -> None:
    """Raise BadUserInput if a text cannot be the value of a filter."""
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
        raise BadUserInput("before", "can only be used with last, without first or after")
    if arguments.after is not None and arguments.last is not None:
        raise BadUserInput("after", "can only be used with first, without last")


def _place(
    noun: Noun, order: str, descending: bool, arguments: PageArguments, values: Values
) -> After | None:
    name, text = ("after", arguments.after) if arguments.after is not None else ("before", arguments.before)
    if text is None:
        return None
    tag = noun.cursor_tag(order, descending)
    try:
        if noun.orders[order].numbers:
            return After(id=None, value=values.slot(cursors.decode_number(tag, text)), null=False)
        place = cursors.decode(tag, text)
    except cursors.InvalidCursor as error:
        raise BadUserInput(name, str(error)) from None
    ordered = noun.orders[order].column is not None
    return After(
        id=values.slot(place.id),
        value=None if place.value is None else values.slot(place.value),
        null=ordered and place.value is None,
    )
