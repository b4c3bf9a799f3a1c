"""Pages by number, the parameters of every list, and the list's envelope."""

import re
from functools import cache
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from db.reads import NOUNS
from db.shaping.scans import weighed
from db.shaping.selection import Connection, Echo, Filter, Group, Nodes, Page, Scalar, Total, Values
from resolvers import paging
from resolvers.inputs import Input, Text, invalid
from resolvers.reading import FieldShape

# Both databases count rows with 32 bits at least.
MAX_NUMBER = 2**31 - 1

_POSITIVE = re.compile(r"0*([1-9][0-9]*)")


def _positive(text: str) -> int:
    found = _POSITIVE.fullmatch(text)
    if found is None:
        raise invalid("must be an integer of at least 1")
    # Python reads no more than some thousands of digits, and any twenty are beyond every bound.
    return int(found[1][:20])


def _page(number: int) -> int:
    if number > MAX_NUMBER:
        raise invalid(f"must be at most {MAX_NUMBER}")
    return number


def _per_page(number: int) -> int:
    return min(number, paging.MAX_SIZE)


FilterText: TypeAlias = Annotated[Text, Field(max_length=paging.MAX_FILTER_LENGTH)]


class PageQuery(Input):
    """The parameters of a list."""

    page: Annotated[
        int,
        BeforeValidator(_positive),
        AfterValidator(_page),
        Field(
            description="The page, counted from 1.", json_schema_extra={"minimum": 1, "maximum": MAX_NUMBER}
        ),
    ] = 1
    per_page: Annotated[
        int,
        BeforeValidator(_positive),
        AfterValidator(_per_page),
        Field(
            description=f"How many a page holds; more than {paging.MAX_SIZE} is taken as {paging.MAX_SIZE}.",
            json_schema_extra={"minimum": 1},
        ),
    ] = paging.DEFAULT_SIZE


def page_shape(query: PageQuery, connection: str, noun: str, fields: tuple[Scalar, ...]) -> FieldShape:
    """The shape of a page of a noun, of an app or (apps) of the account: `data` with `meta`.

    It is in the noun's own order. Raises BadUserInput.

    Parameters that a list's query adds to those of pages are the noun's filters, by name.
    """
    values = Values()
    skipped = min((query.page - 1) * query.per_page, MAX_NUMBER)
    for value in (query.page, query.per_page, skipped):
        values.slot(value)
    filters = query.model_dump(exclude=set(PageQuery.model_fields))
    chosen = paging.filters(NOUNS[noun], filters.items(), values)
    return FieldShape(_selected(connection, noun, fields, tuple(chosen)), values)


# There are as many as there are lists, each with and without each of its filters.
@cache
def _selected(
    connection: str, noun: str, fields: tuple[Scalar, ...], filters: tuple[Filter, ...]
) -> Connection:
    """What a list selects, with the page's number, its size and how many it skips in the first slots."""
    number, size, skipped = range(3)
    order, descending = NOUNS[noun].default_order
    page = Page(order=order, descending=descending, size=size, offset=skipped, filters=filters)
    meta = Group("meta", (Total("total"), Echo("page", number), Echo("per_page", size)))
    selected = Connection(connection, connection, noun, page, (Nodes("data", fields), meta))
    return weighed(selected, NOUNS[noun], NOUNS["App"].connections.get(connection))
