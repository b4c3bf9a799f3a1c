"""The search for customers and licenses, by anything that identifies them, in all apps in reach.

Whole values, such as ids and emails, are looked up exactly (`EXACT`). Beginnings of emails and names are
ranges of the indexes that sort an app's customers. Words are found in the same way as with the filter
`search` of an app's customers (`db.shaping.search`).

Better matches come first: exact ones in the order of `EXACT`, then emails and names that begin with a text,
then those that contain all words, and then those that contain any word. Equally good hits are sorted by
email, or by name if the name begins with the text. Licenses that are found exactly come newest first.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    FromClause,
    Integer,
    MetaData,
    Select,
    Subquery,
    Table,
    and_,
    case,
    cast,
    exists,
    func,
    literal_column,
    null,
    select,
    true,
    union_all,
)

from db.apps import APP, apps
from db.customers import CUSTOMER, customers
from db.licenses import licenses
from db.shaping.json import arrays_in, ids_in, item, json_array, json_string, texts_in
from db.shaping.nouns import Noun, ToOne, column
from db.shaping.pages import Needs, PageRows
from db.shaping.selection import Filter, Page, Slot, Sought
from db.shaping.slots import slot_parameter
from db.shaping.texts import contains
from db.tenancy import is_customer, is_own_customer, within_apps
from db.tokens import tokens
from db.types import PlainText


class SearchField(StrEnum):
    """What a text matched."""

    EMAIL = "EMAIL"
    NAME = "NAME"
    EXTERNAL_ID = "EXTERNAL_ID"
    CUSTOMER_ID = "CUSTOMER_ID"
    LICENSE_ID = "LICENSE_ID"
    INSTALLATION_ID = "INSTALLATION_ID"
    JTI = "JTI"
    TOKEN = "TOKEN"  # noqa: S105  (a field, not a password)


# No database has this table. It declares the columns of the rows that `hits` returns.
_hits = Table(
    "hits",
    MetaData(),
    Column("field", PlainText, nullable=False),
    Column("customer_id", PlainText, nullable=False),
    Column("license_id", PlainText),
)

HIT = Noun(
    name="SearchHit",
    table=_hits,
    prefix="",
    owned=lambda _: true(),
    reached=lambda _: true(),
    attributes={"field": column("field")},
    objects={
        "customer": ToOne("Customer", "customer_id"),
        "license": ToOne("License", "license_id", nullable=True),
    },
)
"""One hit of a search. It has no id and is found by no other read, so it is not in `db.reads.NOUNS`."""

EXACT: Mapping[str, tuple[SearchField, Column[Any]]] = {
    "token": (SearchField.TOKEN, licenses.c.id),
    "token_jti": (SearchField.TOKEN, tokens.c.jti),
    "jti": (SearchField.JTI, tokens.c.jti),
    "license_id": (SearchField.LICENSE_ID, licenses.c.id),
    "customer_id": (SearchField.CUSTOMER_ID, customers.c.id),
    "installation_id": (SearchField.INSTALLATION_ID, licenses.c.installation_id),
    "external_id": (SearchField.EXTERNAL_ID, customers.c.external_id),
    "email": (SearchField.EMAIL, customers.c.email_key),
}
"""The kinds of values that are looked up exactly, the best first: the field of the hits, and the column."""

_RANKS = [*EXACT, "email_begins", "name_begins", "all_words", "any_word"]
_FILTER = "search"
_IDS = Needs(rows=True, columns=frozenset(), end_cursors=False, end_ids=False, counted=False)
# The pages are read in a subquery of a CTE of the subquery that returns the hits.
_DEPTH = 3


def hits(sought: Sought, of_customer: bool) -> Subquery:
    """Return the best hits, sorted. No two of them have the same customer and license.

    `of_customer` is true if the tenant is one customer.
    """
    search = _Search(sought, of_customer=of_customer)
    found = union_all(*(select(*part.c) for part in search.parts())).subquery("found")
    pair = found.c.customer_id, found.c.license_id
    best_first = found.c.rank, found.c.sort, found.c.field
    occurrence = func.row_number().over(partition_by=pair, order_by=best_first).label("occurrence")
    numbered = select(*found.c, occurrence).subquery("numbered")
    return (
        select(*(numbered.c[name] for name in _hits.c.keys()))  # noqa: SIM118
        .where(numbered.c.occurrence == literal_column("1"))
        # If one hit of a rank has a license, all hits of this rank have one.
        .order_by(numbered.c.rank, numbered.c.sort, numbered.c.license_id.desc(), numbered.c.customer_id)
        .limit(search.size)
        .subquery("hits")
    )


class _Search:
    """The parts of a search. The `size` best hits of each part are among its rows."""

    def __init__(self, sought: Sought, *, of_customer: bool) -> None:
        self.size = slot_parameter(sought.size, Integer)
        self._sought = sought
        self._of_customer = of_customer

    def parts(self) -> list[CTE]:
        """Return the parts, the best first. Words are only searched for if there are too few hits so far."""
        words = self._sought.words
        parts = [_part(*self._exact(), *self._beginnings())]
        if len(words) > 1:
            parts.append(_part(self._containing("all_words", words, parts)))
        if words:
            parts.append(_part(*(self._containing("any_word", [word], parts) for word in words)))
        return parts

    def _exact(self) -> list[Select[Any]]:
        return [self._equal(kind, slot_parameter(values)) for kind, values in self._sought.exact]

    def _equal(self, kind: str, values: ColumnElement[str]) -> Select[Any]:
        """Return the hits of one kind of `EXACT`. The values are a JSON array."""
        field, column = EXACT[kind]
        matches = ids_in(column, values)
        if column.table is customers:
            found = _rows(kind, _text(field), _text(""), customers.c.id, null())
            found = found.where(matches, is_customer(customers.c.id))
            if column is customers.c.id:
                return found.where(self._reaches(customers))
            # The index on the column begins with the app.
            of_apps = apps.join(customers, customers.c.app_id == apps.c.id)
            return found.select_from(of_apps).where(*self._in_reach(apps))
        found = _rows(kind, _text(field), _text(""), licenses.c.customer_id, licenses.c.id)
        found = found.where(matches, is_customer(licenses.c.customer_id))
        if column.table is licenses:
            return found.where(self._reaches(licenses))
        # Tokens that were signed in advance for a rotation are not issued yet.
        is_issued = tokens.c.generation <= apps.c.signing_generation
        of_tokens = tokens.join(licenses, licenses.c.id == tokens.c.license_id)
        return found.select_from(of_tokens).where(self._reaches(licenses, is_issued))

    def _beginnings(self) -> Iterator[Select[Any]]:
        """Yield the customers whose email, or whose name, begins with one of the texts."""
        if self._sought.beginnings is None:
            return
        ranges = arrays_in(slot_parameter(self._sought.beginnings)).table_valued("value", name="beginnings")
        start, end = item(ranges.c.value, 0), item(ranges.c.value, 1)
        for rank, field, name in (
            ("email_begins", SearchField.EMAIL, "email_folded"),
            ("name_begins", SearchField.NAME, "name_folded"),
        ):
            app, row = apps.alias(), customers.alias()
            first = (
                select(row.c.id)
                .where(row.c.app_id == app.c.id, row.c[name] >= start, row.c[name] < end)
                .where(is_customer(row.c.id))
                .order_by(row.c[name], row.c.id)
                .limit(self.size)
                .correlate(app, ranges)
            )
            ids = _ids_of(first.subquery()).correlate(app, ranges)
            found = _customers(rank, _text(field), customers.c[name], app.join(ranges, true()), ids)
            yield found.where(*self._in_reach(app))

    def _containing(self, rank: str, words: Sequence[Slot], earlier: Sequence[CTE]) -> Select[Any]:
        """Return the customers whose email and name contain these words.

        None are returned if there are enough hits in earlier parts.
        """
        app = apps.alias()
        first = self._own(app, words) if self._of_customer else self._first_in(app, words)
        ids = _ids_of(first).correlate(app)
        in_email = and_(*(contains(customers.c.email_folded, slot_parameter(word)) for word in words))
        field = case((in_email, _text(SearchField.EMAIL)), else_=_text(SearchField.NAME))
        found = _customers(rank, field, customers.c.email_folded, app, ids)
        return found.where(*self._in_reach(app), self._lacks(earlier))

    def _first_in(self, app: FromClause, words: Sequence[Slot]) -> FromClause:
        """Return the first customers of an app whose email and name contain these words, sorted by email."""
        filters = tuple(Filter(_FILTER, word) for word in words)
        page = Page("email", descending=False, size=self._sought.size, filters=filters)
        return PageRows(CUSTOMER, page, (APP.connections["customers"], app), _IDS, depth=_DEPTH).page()

    def _own(self, app: FromClause, words: Sequence[Slot]) -> FromClause:
        """Return the tenant's customer if it is in an app, and its email and name contain these words."""
        row = customers.alias()
        contain = CUSTOMER.filters[_FILTER].sql
        conditions = [contain(row.c, slot_parameter(word)) for word in words]
        own = select(row.c.id).where(is_own_customer(row.c.id), row.c.app_id == app.c.id, *conditions)
        return own.correlate(app).subquery()

    def _lacks(self, parts: Sequence[CTE]) -> ColumnElement[bool]:
        """Return the condition that these parts do not have enough hits."""
        pairs = union_all(*(select(part.c.customer_id, part.c.license_id) for part in parts)).subquery()
        different = select(*pairs.c).distinct().subquery()
        return select(func.count()).select_from(different).scalar_subquery() < self.size

    def _in_reach(self, app: FromClause) -> list[ColumnElement[bool]]:
        """Return the conditions that the tenant reaches an app, and that the app is searched."""
        slug = self._sought.app
        chosen = [] if slug is None else [app.c.slug == slot_parameter(slug)]
        return [within_apps(app.c), *chosen]

    def _reaches(self, row: FromClause, *also: ColumnElement[bool]) -> ColumnElement[bool]:
        """Return the condition that the app of a row is in reach, and meets further conditions."""
        found = exists().where(apps.c.id == row.c.app_id, *self._in_reach(apps), *also)
        return found.correlate_except(apps)


def _part(*found: Select[Any]) -> CTE:
    rows = found[0] if len(found) == 1 else union_all(*found)
    return rows.cte().prefix_with("MATERIALIZED")


def _customers(
    rank: str, field: ColumnElement[str], sort: ColumnElement[str], owners: FromClause, ids: Select[Any]
) -> Select[Any]:
    """Return the customers whose ids a SELECT returns, as a JSON array, for each row of `owners`."""
    listed = texts_in(ids.scalar_subquery()).table_valued("value", name="listed")
    found = owners.join(listed, true()).join(customers, customers.c.id == listed.c.value)
    return _rows(rank, field, sort, customers.c.id, null()).select_from(found)


def _ids_of(rows: FromClause) -> Select[Any]:
    return select(json_array(json_string(rows.c.id))).select_from(rows)


def _rows(
    rank: str,
    field: ColumnElement[str],
    sort: ColumnElement[str],
    customer_id: ColumnElement[str],
    license_id: ColumnElement[Any],
) -> Select[Any]:
    columns: list[ColumnElement[Any]] = [
        literal_column(str(_RANKS.index(rank)), Integer).label("rank"),
        field.label("field"),
        sort.label("sort"),
        customer_id.label("customer_id"),
        cast(license_id, PlainText).label("license_id"),
    ]
    return select(*columns)


def _text(text: str) -> ColumnElement[str]:
    return literal_column(f"'{text}'", PlainText)
