"""Output of the commands that list something: a table for people, or JSON for programs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple
from typing import Annotated, Any, TypeAlias

from cyclopts import Parameter

AsJson: TypeAlias = Annotated[
    bool, Parameter(name="--json", negative="", show_default=False, help="Print a JSON array.")
]
"""The option of a command that can print JSON."""


def as_json_text(found: Sequence[Any]) -> str:
    """Return dataclass instances as a JSON array of objects."""
    return json.dumps([asdict(each) for each in found], indent=2, ensure_ascii=False)


def as_table(headings: Sequence[str], found: Sequence[Any]) -> str:
    """Return dataclass instances as a table. None is shown as -."""
    return "\n".join(table_lines(headings, [astuple(each) for each in found]))


def table_lines(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return the lines of a table: the headings, and one line for each row. None is shown as -."""
    texts = [headings, *(["-" if value is None else str(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in texts
    ]


def detail_lines(details: Mapping[str, str]) -> list[str]:
    """Return lines that stand below a line of a table, one for each detail."""
    width = max(map(len, details), default=0)
    return [f"    {name.ljust(width)}  {value}" for name, value in details.items()]
