"""How a database goes about a statement: what it reads in full, and what it sorts before it cuts a page."""

import json
import re
from collections.abc import Iterator
from typing import Any

from db.engine import Database
from db.statements import Query

_READING = re.compile(
    r"(SCAN|SEARCH) (accounts|apps|customers|licenses|keys|tiers|features|tier_features|signing_keys|tokens)"
)


async def faults(database: Database, statement: str) -> list[str]:
    """Where a statement reads a table from end to end, or others' rows too, or sorts more than a page.

    PostgreSQL is asked for the plan it makes without knowing any value, which a statement used often gets.
    """
    if database.is_sqlite:
        return list(_sqlite_faults(await _explained(database, "EXPLAIN QUERY PLAN", statement)))
    ((plan,),) = await _explained(database, "EXPLAIN (FORMAT JSON)", statement)
    return list(_postgresql_faults(json.loads(plan)[0]["Plan"], sorted_for=None))


async def described(database: Database, statement: str) -> str:
    """The plan as the database words it, without what it guesses of costs and rows."""
    if not database.is_sqlite:
        return "\n".join(line for (line,) in await _explained(database, "EXPLAIN (COSTS OFF)", statement))
    depths = {0: -1}
    lines = []
    for step, parent, _, detail in await _explained(database, "EXPLAIN QUERY PLAN", statement):
        depths[step] = depths[parent] + 1
        lines.append(f"{'  ' * depths[step]}{detail}")
    return "\n".join(lines)


async def analyze(database: Database) -> None:
    """Have PostgreSQL take stock of its tables, as it does on its own in time. SQLite never does."""
    if not database.is_sqlite:
        async with database.read() as session:
            await session.rows(Query("VACUUM ANALYZE", ()), {})


async def _explained(database: Database, explain: str, statement: str) -> list[tuple[Any, ...]]:
    async with database.read() as session:
        if database.is_sqlite:
            values = tuple((str(place), None) for place in range(statement.count("?")))
            query = Query(f"{explain} {statement}", values, (None,) * len(values))
            return [tuple(row) for row in await session.rows(query, {})]
        # Parameters that are sent along with EXPLAIN would be looked at.
        for step in ("SET plan_cache_mode = force_generic_plan", f"PREPARE explained AS {statement}"):
            await session.rows(Query(step, ()), {})
        nulls = ["NULL"] * len(set(re.findall(r"\$\d+", statement)))
        values = f"({', '.join(nulls)})" if nulls else ""
        try:
            found = await session.rows(Query(f"{explain} EXECUTE explained {values}", ()), {})
            return [tuple(row) for row in found]
        finally:
            await session.rows(Query("DEALLOCATE explained", ()), {})


def _sqlite_faults(steps: list[tuple[Any, ...]]) -> Iterator[str]:
    readings = [(parent, detail) for _, parent, _, detail in steps if _READING.match(detail)]
    yield from (detail for _, detail in readings if detail.startswith("SCAN"))
    # A sort beside the reading of a table is one of all that is read there.
    together = {parent for parent, _ in readings}
    yield from (detail for _, parent, _, detail in steps if "TEMP B-TREE" in detail and parent in together)


def _postgresql_faults(node: dict[str, Any], sorted_for: str | None) -> Iterator[str]:
    kind, table = node["Node Type"], node.get("Relation Name")
    if kind == "Seq Scan" and table != "app_counters":  # which is a page long in a test, and read at once
        yield f"Seq Scan on {table}"
    is_by_id = re.search(r"\((id|jti|tier_id) = ", node.get("Index Cond", "")) is not None
    if str(node.get("Index Name")).startswith("pk_") and not is_by_id:
        yield f"walk over the ids of everybody's {table}"
    if kind == "Limit":
        sorted_for = None
    elif kind == "Sort":
        sorted_for = f"Sort by {node['Sort Key']}"
    if table and sorted_for and not is_by_id:  # a sort of one row, as a merge join wants it
        yield f"{sorted_for} of {table}"
    for child in node.get("Plans", []):
        # What a row has nested in it is no part of what is sorted.
        inner = child["Parent Relationship"] in {"Outer", "Inner", "Member", "Subquery"}
        yield from _postgresql_faults(child, sorted_for if inner else None)
