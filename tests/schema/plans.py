"""Query plans of statements, and their faults: whole tables that are read, and sorts of more than a page."""

import json
import re
from collections.abc import Iterator
from typing import Any

from db.engine import Database
from db.statements import Query

_READING = re.compile(
    r"(SCAN|SEARCH) "
    r"(accounts|apps|customers|licenses|license_seen|keys|tiers|features|tier_features|signing_keys|tokens|events)"
)


async def faults(database: Database, statement: str) -> list[str]:
    """Return the steps of the plan that are faults: they read too many rows, or sort more than a page.

    A step reads too many rows if it reads a whole table, or rows of other owners. On PostgreSQL, the plan is
    the generic one, which does not depend on the values and is often used for frequent statements.
    """
    if database.is_sqlite:
        return list(_sqlite_faults(await _explained(database, "EXPLAIN QUERY PLAN", statement)))
    ((plan,),) = await _explained(database, "EXPLAIN (FORMAT JSON)", statement)
    return list(_postgresql_faults(json.loads(plan)[0]["Plan"], sorted_for=None))


async def described(database: Database, statement: str) -> str:
    """Return the plan as the database prints it, without estimated costs and rows."""
    if not database.is_sqlite:
        return "\n".join(line for (line,) in await _explained(database, "EXPLAIN (COSTS OFF)", statement))
    depths = {0: -1}
    lines = []
    for step, parent, _, detail in await _explained(database, "EXPLAIN QUERY PLAN", statement):
        depths[step] = depths[parent] + 1
        lines.append(f"{'  ' * depths[step]}{detail}")
    return "\n".join(lines)


async def analyze(database: Database) -> None:
    """On PostgreSQL, vacuum and collect statistics, as autovacuum does later. On SQLite, do nothing."""
    if not database.is_sqlite:
        async with database.read() as session:
            await session.rows(Query("VACUUM ANALYZE", ()), {})


async def _explained(database: Database, explain: str, statement: str) -> list[tuple[Any, ...]]:
    async with database.read() as session:
        if database.is_sqlite:
            values = tuple((str(place), None) for place in range(statement.count("?")))
            query = Query(f"{explain} {statement}", values, (None,) * len(values))
            return [tuple(row) for row in await session.rows(query, {})]
        # EXPLAIN gets no parameters, because PostgreSQL would make a plan for their values.
        for step in ("SET plan_cache_mode = force_generic_plan", f"PREPARE explained AS {statement}"):
            await session.rows(Query(step, ()), {})
        nulls = ["NULL"] * len(set(re.findall(r"\$\d+", statement)))
        arguments = f"({', '.join(nulls)})" if nulls else ""
        try:
            found = await session.rows(Query(f"{explain} EXECUTE explained {arguments}", ()), {})
            return [tuple(row) for row in found]
        finally:
            await session.rows(Query("DEALLOCATE explained", ()), {})


def _sqlite_faults(steps: list[tuple[Any, ...]]) -> Iterator[str]:
    readings = [(parent, detail) for _, parent, _, detail in steps if _READING.match(detail)]
    yield from (detail for _, detail in readings if detail.startswith("SCAN"))
    yield from (detail for _, detail in readings if "uq_events_position" in detail)
    # A sort on the same level as a table access sorts every row that this access reads.
    together = {parent for parent, _ in readings}
    yield from (detail for _, parent, _, detail in steps if "TEMP B-TREE" in detail and parent in together)


def _postgresql_faults(node: dict[str, Any], sorted_for: str | None) -> Iterator[str]:
    kind, table = node["Node Type"], node.get("Relation Name")
    # In tests, app_counters fits in one block on disk, and log has one row: PostgreSQL is right to scan them.
    if kind == "Seq Scan" and table not in {"app_counters", "log"}:
        yield f"Seq Scan on {table}"
    condition = node.get("Index Cond", "")
    is_by_id = re.search(r"\((id|jti|tier_id|license_id) = ", condition) is not None
    is_by_start = re.search(r"\(jti >= .* AND \(jti < ", condition) is not None
    if str(node.get("Index Name")).startswith("pk_") and not (is_by_id or is_by_start):
        yield f"walk over the ids of all {table}"
    if node.get("Index Name") == "uq_events_position":
        yield "walk over all events"
    if kind == "Limit":
        sorted_for = None
    elif kind == "Sort":
        sorted_for = f"Sort by {node['Sort Key']}"
    if table and sorted_for and not is_by_id:  # A read by id sorts only one row, for a merge join.
        yield f"{sorted_for} of {table}"
    for child in node.get("Plans", []):
        # A sort does not include the rows of a subplan that runs once for each row.
        inner = child["Parent Relationship"] in {"Outer", "Inner", "Member", "Subquery"}
        yield from _postgresql_faults(child, sorted_for if inner else None)
