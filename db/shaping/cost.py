"""The cost of a selection: about the largest number of objects that the selection could return.

The cost is computed before anything is executed, for both APIs.

- A connection costs its page size, once for each of `nodes` and `edges`.
- A list costs its typical length, or the number that its argument asks for.
- A single object and a `totalCount` cost 1 each.
- Numbers that are counted together cost what their field declares (`db.shaping.nouns.Figures`).
- Some fields, such as a license's `token`, have a cost of their own (`db.shaping.nouns.Attribute`).
- Costs of nested fields are multiplied by the number of parents.
- A possible scan of all rows adds its own cost (`db.shaping.scans`), even if it returns few rows.
- A write costs what its operation declares (`resolvers.costs`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from db.shaping.scans import is_full_scan
from db.shaping.selection import (
    BreakdownList,
    Connection,
    EdgeNode,
    Edges,
    EntryList,
    Field,
    Fields,
    FiguresObject,
    Group,
    Nodes,
    Object,
    ObjectList,
    Part,
    Scalar,
    SearchRead,
    Slot,
    Snapshot,
    Total,
    Typename,
    Value,
)


@dataclass(frozen=True, slots=True)
class Cost:
    """A cost before the values are known: a fixed number of objects, plus rows of connections.

    For each connection, `connections` has the slot of the page size and the cost of one row. `scans` is the
    cost of full scans, and is not multiplied by the number of parents: scans for different parents visit
    different rows, so all of them together cost no more than one full scan.
    """

    fixed: int
    connections: "tuple[tuple[Slot, Cost], ...]" = ()
    scans: int = 0

    def of(self, values: Sequence[Value]) -> int:
        """Return the cost as a number, given the values of the slots."""
        rows = sum(cast("int", values[slot]) * row.of(values) for slot, row in self.connections)
        return self.fixed + self.scans + rows

    def shared(self) -> "Cost":
        """Return the cost if several parents may share the object.

        Its scans then run once for each parent, so they become part of `fixed`, which is multiplied by the
        number of parents.
        """
        return Cost(self.fixed + self.scans, self.connections)


def cost_of_object(fields: Fields) -> Cost:
    """Return the cost of one object with these fields."""
    return _sum(1, _fields(fields))


def cost_of_page(connection: Connection) -> Cost:
    """Return the cost of one page of a connection, with its totals."""
    return _sum(0, _fields([connection]))


def cost_of_search(read: SearchRead) -> Cost:
    """Return the cost of the hits of a search, and of finding them."""
    if read.sought is None:
        return Cost(0)
    row = _sum(1, _fields(read.fields))
    return Cost(0, ((read.sought.size, Cost(row.fixed, row.connections)),), row.scans + read.scan)


def _sum(fixed: int, costs: Iterable[Cost]) -> Cost:
    parts = list(costs)
    return Cost(
        fixed + sum(part.fixed for part in parts),
        tuple(connection for part in parts for connection in part.connections),
        sum(part.scans for part in parts),
    )


def _times(count: int, cost: Cost) -> Cost:
    return Cost(count * cost.fixed, tuple((size, _times(count, row)) for size, row in cost.connections))


def _fields(fields: Iterable[Field]) -> Iterator[Cost]:
    for field in fields:
        match field:
            case Scalar(cost=cost):
                yield Cost(cost)
            case Object(fields=below, by=by):
                found = _sum(1, _fields(below))
                yield found.shared() if by is None else found
            case ObjectList(fields=below, typical=typical):
                yield _times(typical, _sum(1, _fields(below)).shared())
            case EntryList(slots=(size, *_)):
                yield Cost(0, ((size, Cost(1)),))
            case FiguresObject(fields=below, cost=cost):
                yield _sum(cost, (_breakdown(each, cost) for each in below))
            case Snapshot():
                yield Cost(1)
            case Connection():
                yield _connection(field)
            case _:
                pass


def _breakdown(part: Typename | Scalar | BreakdownList, cost: int) -> Cost:
    if not isinstance(part, BreakdownList):
        return Cost(0)
    entry = _sum(1, _fields(part.fields))
    return _sum(cost, [_times(part.typical, entry.shared())])


def _connection(connection: Connection) -> Cost:
    totals = list(_totals(connection.parts))
    scans = [connection.scan, *(total.scan for total in totals)]
    of_all = sum(scan for scan in scans if is_full_scan(scan))
    of_few = sum(scans) - of_all  # these scans run again for each parent
    row = _sum(0, _rows(connection.parts))
    rows = ((connection.page.size, Cost(row.fixed, row.connections)),)
    return Cost(len(totals) + of_few, rows, row.scans + of_all)


def _totals(parts: Iterable[Part]) -> Iterator[Total]:
    for part in parts:
        match part:
            case Total():
                yield part
            case Group(parts=below):
                yield from _totals(below)
            case _:
                pass


def _rows(parts: Iterable[Part]) -> Iterator[Cost]:
    """Yield the cost of one row in each list of a connection (`nodes` and `edges`)."""
    for part in parts:
        match part:
            case Nodes(fields=fields):
                yield _sum(1, _fields(fields))
            case Edges(parts=edge_parts):
                nodes = [part for part in edge_parts if isinstance(part, EdgeNode)]
                yield _sum(0, (_sum(1, _fields(node.fields)) for node in nodes)) if nodes else Cost(1)
            case Group(parts=below):
                yield from _rows(below)
            case _:
                pass
