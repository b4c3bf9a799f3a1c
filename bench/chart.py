"""A chart of a run: the CPU of one request, for every workload and database. Each contestant has a dot.

Licensegraph with two workers is left out. Costs range from 0.05 to 50 milliseconds, so the scale is
logarithmic and each cost is a dot, not a bar. The chart is plain SVG without a background, and supports light
and dark mode.
"""

import math
from collections.abc import Iterator, Mapping
from html import escape

from bench.results import Run
from bench.workloads import WORKLOADS

_WIDTH, _LEFT, _RIGHT = 860, 290, 40
_ROW, _TOP, _PANEL_GAP = 30, 76, 54
# The contestants in drawing order. The largest dot is drawn first, so that smaller dots with the same cost
# stay visible on top of it.
_CONTESTANTS: Mapping[str, tuple[str, str]] = {
    "licensegraph": ("Licensegraph", "#2563eb"),
    "hand-written": ("hand-written SQL, no GraphQL", "#7c8ba1"),
    "postgraphile": ("PostGraphile", "#a855f7"),
    "fastapi": ("FastAPI (W7)", "#0d9488"),
    "strawberry": ("Strawberry", "#d97706"),
}
_DATABASES: Mapping[str, str] = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
_STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #334155 }
  .title { font-weight: 600; font-size: 15px }
  .small { font-size: 12px; fill: #64748b }
  line { stroke: #94a3b8; stroke-opacity: .35 }
  .row { stroke-opacity: .55 }
  @media (prefers-color-scheme: dark) { text { fill: #e2e8f0 } .small { fill: #94a3b8 } }
"""


def drawn(run: Run) -> str:
    """Return the chart as SVG."""
    body = list(_elements(run))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_height(run)}" role="img">\n'
        "<title>Milliseconds of CPU for one request, server and database together</title>\n"
        f"<style>{_STYLE}</style>\n" + "\n".join(body) + "\n</svg>\n"
    )


def _height(run: Run) -> int:
    panels = [database for database in _DATABASES if _rows(run, database)]
    return _TOP + sum(len(_rows(run, database)) * _ROW + _PANEL_GAP for database in panels)


def _rows(run: Run, database: str) -> list[str]:
    names = sorted(WORKLOADS)
    return [name for name in names if run.figures(name, database, "licensegraph") is not None]


def _elements(run: Run) -> Iterator[str]:
    low, high = _bounds(run)

    def across(milliseconds: float) -> float:
        share = (math.log10(max(milliseconds, low)) - math.log10(low)) / (math.log10(high) - math.log10(low))
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    yield _text(16, 24, "CPU for one request, server and database together (ms, logarithmic)", "title")
    x = 16.0
    for name, (title, colour) in _CONTESTANTS.items():
        if any(result.contestant == name for result in run.results):
            yield f'<circle cx="{x + 6:.0f}" cy="46" r="{_radius(name)}" fill="{colour}"/>'
            yield _text(x + 18, 50, title)
            x += 34 + 7.0 * len(title)
    top = _TOP
    for database, title in _DATABASES.items():
        rows = _rows(run, database)
        if not rows:
            continue
        yield _text(16, top + 16, title, "title")
        bottom = top + 26 + len(rows) * _ROW
        for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
            at = across(10**power)
            yield f'<line x1="{at:.1f}" y1="{top + 24}" x2="{at:.1f}" y2="{bottom}"/>'
            yield _text(at, top + 16, f"{10**power:g}", "small", "middle")
        for place, workload in enumerate(rows):
            y = top + 26 + place * _ROW + _ROW / 2
            yield f'<line class="row" x1="{_LEFT}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}"/>'
            yield _text(16, y + 4, f"{workload} {_short(WORKLOADS[workload].title)}")
            for name, (said, colour) in _CONTESTANTS.items():
                figures = run.figures(workload, database, name)
                if figures is not None:
                    x = across(figures.cpu_ms)
                    yield (
                        f'<circle cx="{x:.1f}" cy="{y}" r="{_radius(name)}" fill="{colour}">'
                        f"<title>{escape(said)}: {figures.cpu_ms:.2f} ms</title></circle>"
                    )
        top += len(rows) * _ROW + _PANEL_GAP


def _bounds(run: Run) -> tuple[float, float]:
    """Return the powers of ten just below the lowest and just above the highest cost."""
    costs = [max(result.figures.cpu_ms, 0.01) for result in run.results]
    return 10.0 ** math.floor(math.log10(min(costs))), 10.0 ** math.ceil(math.log10(max(costs)))


def _radius(contestant: str) -> int:
    return 7 if contestant == "licensegraph" else 5


def _short(title: str) -> str:
    return title.partition(", ")[0].removeprefix("dashboard: ")


def _text(x: float, y: float, said: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(said)}</text>'
