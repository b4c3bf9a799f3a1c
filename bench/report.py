"""Presents the results: tables on the terminal, RESULTS.md, its chart, and a section of README.md."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench import chart, results
from bench.measuring import Figures
from bench.results import FlatRun, Kept, Result, Run
from bench.targets import Verdict, judged, judged_flat, judged_process, judged_ratios
from bench.workloads import WORKLOADS, Workload

_BENCH = Path(__file__).parent
_CHECKOUTS = _BENCH / "checkouts.md"  # written by `bench.checkouts`
_BEGIN, _END = "<!-- bench: begin -->", "<!-- bench: end -->"
DATABASES: Mapping[str, str] = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
PEERS = ("strawberry", "postgraphile", "fastapi", "hand-written")


def table(workload: Workload, database: str, found: Sequence[Result]) -> str:
    """Return the table of one workload on one database, for the terminal."""
    rows = [one for one in found if (one.workload, one.database) == (workload.name, database)]
    ours = rows[0].figures
    lines = [
        f"\n{workload.name} {workload.title}, {database}",
        (
            f"  {'':<24}{'req/s':>8}{'p50 ms':>9}{'p99 ms':>9}{'server':>9}{'database':>10}{'MiB':>7}"
            "   licensegraph's CPU over theirs"
        ),
    ]
    for row in rows:
        figures = row.figures
        lines.append(
            f"  {row.contestant:<24}{figures.requests_per_second:>8.0f}{figures.p50_ms:>9.2f}"
            f"{figures.p99_ms:>9.2f}{figures.server_ms:>9.2f}{figures.database_ms:>10.2f}"
            f"{figures.memory_mib:>7.0f}   {_over(ours, figures)}"
        )
    return "\n".join(lines)


def targets(run: Run) -> str:
    """Return the table of targets and measured values, for the terminal."""
    return "\nAgainst the targets\n" + _judgement(judged(run))


def flatness(flat: FlatRun) -> str:
    """Return the table that compares costs in a large and in a small app, for the terminal."""
    return "\nFlatness\n" + _judgement(judged_flat(flat))


def _judgement(verdicts: Iterable[Verdict]) -> str:
    return "\n".join(
        f"  {'reached' if one.is_reached else 'NOT    '}  {one.what}: {one.measured:.2f}{one.unit},"
        f" to be at most {one.at_most}{one.unit}"
        for one in verdicts
    )


def write(kept: Kept) -> None:
    """Write the results, and all files that are generated from them."""
    kept.write()
    if kept.run is not None:
        (_BENCH / "results.svg").write_text(chart.drawn(kept.run))
        readme = _BENCH.parent / "README.md"
        readme.write_text(with_section(readme.read_text(), section(kept.run)))
    (_BENCH / "RESULTS.md").write_text(document(kept))


def with_section(text: str, section: str) -> str:
    """Return `text` with `section` between the two markers."""
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n\n{section}\n{_END}{after}"


def section(run: Run) -> str:
    """Return the section for README.md: the chart, and the table of CPU per request."""
    return (
        "![CPU of server and database for one request](bench/results.svg)\n\n"
        "Milliseconds of CPU per request, server and database together; lower is better. "
        f"{run.machine}; {run.date}.\n"
        "[All figures](bench/RESULTS.md), and [how to read them](bench/README.md).\n\n"
        f"{_costs(run)}"
    )


def document(kept: Kept) -> str:
    """Return the content of RESULTS.md."""
    parts = [
        (
            "# Results\n\nWritten by `make bench ARGS=--write` and `make bench ARGS='--flat --write'`;"
            " README.md explains\nhow to read it. Only compare figures within one run.\n"
        )
    ]
    if kept.run is not None:
        parts += _run(kept.run)
    if kept.flat is not None:
        parts += _flat(kept.flat)
    if _CHECKOUTS.exists():
        parts.append(_CHECKOUTS.read_text())
    return "\n".join(parts)


def _run(run: Run) -> Iterable[str]:
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    yield f"{run.date}, on {run.machine}. {run.effort}.\n\n{versions}.\n"
    yield "![CPU of server and database for one request](results.svg)\n"
    yield f"## CPU for one request, in milliseconds\n\n{_costs(run)}"
    yield f"## Against the targets\n\n{_targets(run)}"
    yield f"## Two workers instead of one\n\n{_workers(run)}"
    yield "## Everything\n"
    for workload in WORKLOADS.values():
        for database, title in DATABASES.items():
            rows = [one for one in run.results if (one.workload, one.database) == (workload.name, database)]
            if rows:
                yield f"### {workload.name} {workload.title}, {title}\n\n{_figures(rows)}"


def _flat(flat: FlatRun) -> Iterable[str]:
    yield f"## Flatness\n\n{flat.date}, on {flat.machine}."
    yield "Milliseconds of CPU, server + database, for one request to Licensegraph.\n"
    rows = [
        [one.workload, DATABASES[one.database], _cost(one.small), _cost(one.large), _verdict(verdict)]
        for one, verdict in zip(flat.results, judged_flat(flat), strict=True)
    ]
    head = ["", "", f"{flat.small:,} customers", f"{flat.large:,} customers", "ratio (at most)"]
    yield _markdown(head, rows)


def _costs(run: Run) -> str:
    """Return the table of CPU by workload and contestant.

    It also shows Licensegraph's CPU divided by each peer's.
    """
    rows = []
    for database, title in DATABASES.items():
        for workload in WORKLOADS.values():
            ours = run.figures(workload.name, database, "licensegraph")
            if ours is None:
                continue
            row = [f"{workload.name} {workload.title}", title, f"**{ours.cpu_ms:.2f}**"]
            for peer in PEERS:
                figures = run.figures(workload.name, database, peer)
                row.append("–" if figures is None else f"{figures.cpu_ms:.2f} ({_over(ours, figures)})")
            rows.append(row)
    rows.sort(key=lambda row: row[0])
    note = "\nIn brackets: Licensegraph's CPU divided by theirs.\n"
    return _markdown(["", "", "Licensegraph", *_titles()], rows) + note


def _titles() -> list[str]:
    return ["Strawberry", "PostGraphile", "FastAPI", "hand-written SQL"]


def _targets(run: Run) -> str:
    """Return the table of Licensegraph's CPU divided by each contestant's, with the targets."""
    names = sorted(WORKLOADS)
    rows = [
        [
            f"{target.contestant}, {DATABASES[target.database]}",
            *(_verdict(verdicts[name]) if name in verdicts else "–" for name in names),
        ]
        for target, verdicts in judged_ratios(run)
    ]
    head = ["Licensegraph's CPU over that of", *names]
    others = [[one.what, _verdict(one)] for one in judged_process(run)]
    verdicts = judged(run)
    reached = sum(one.is_reached for one in verdicts)
    return (
        f"{reached} of {len(verdicts)} targets reached. In brackets: the target, a maximum.\n\n"
        f"{_markdown(head, rows)}\n{_markdown(['', ''], others)}"
    )


def _verdict(verdict: Verdict) -> str:
    mark = "✓" if verdict.is_reached else "✗"
    return f"{mark} {verdict.measured:.2f}{verdict.unit} ({verdict.at_most}{verdict.unit})"


def _workers(run: Run) -> str:
    rows = []
    for database, title in DATABASES.items():
        for workload in WORKLOADS:
            one = run.figures(workload, database, "licensegraph")
            two = run.figures(workload, database, "licensegraph, 2 workers")
            if one is not None and two is not None:
                requests = f"{two.requests_per_second / one.requests_per_second:.2f}×"
                rows.append([workload, title, requests, f"{two.cpu_ms / one.cpu_ms:.2f}×"])
    return _markdown(["", "", "requests a second", "CPU for one request"], rows)


def _figures(rows: Sequence[Result]) -> str:
    ours = rows[0].figures
    head = [
        "",
        "req/s",
        "p50 ms",
        "p99 ms",
        "server ms",
        "database ms",
        "MiB",
        "largest MiB",
        "ours over theirs",
    ]
    return _markdown(
        head,
        [
            [
                row.contestant,
                f"{row.figures.requests_per_second:,.0f}",
                f"{row.figures.p50_ms:.2f}",
                f"{row.figures.p99_ms:.2f}",
                f"{row.figures.server_ms:.2f}",
                f"{row.figures.database_ms:.2f}",
                f"{row.figures.memory_mib:.0f}",
                f"{row.figures.largest_mib:.0f}",
                _over(ours, row.figures),
            ]
            for row in rows
        ],
    )


def _cost(figures: Figures) -> str:
    return f"{figures.server_ms:.2f} + {figures.database_ms:.2f}"


def _over(ours: Figures, theirs: Figures) -> str:
    # The operating system counts CPU time in hundredths of a second, so very few requests may take 0.
    return f"{ours.cpu_ms / theirs.cpu_ms:.2f}×" if theirs.cpu_ms else "–"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    write(results.read())
