"""What all commands have in common: help, misuse, and what they print."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.conftest import Command
from tests.processes import PROGRAM, run

COMMANDS = (
    (),
    ("serve",),
    ("migrate",),
    ("keys",),
    ("keys", "create"),
    ("keys", "list"),
    ("keys", "revoke"),
    ("demo",),
    ("schema",),
    ("openapi",),
)


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_every_command_has_help(name: tuple[str, ...], command: Command) -> None:
    shown = command(*name, "--help")

    usage, _, rest = shown.stdout.partition("\n")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert usage.startswith(" ".join(("Usage: server.py", *name)))
    about = rest.strip().splitlines()[0]
    assert len(about) > 10
    assert not about.startswith("╭")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("launch",), "unknown command or argument: launch (--help lists them)"),
        (("serve", "now"), "unknown command or argument: now (--help lists them)"),
        (("--launch",), "Unknown option: --launch."),
        (("--port", "high"), 'Invalid value for --port: unable to convert "high" into int.'),
        (("--workers", "0"), 'Invalid value "0" for --workers. Must be >= 1.'),
        (("keys", "create"), 'Command "keys create" parameter --kind requires an argument.'),
        (
            ("keys", "create", "--kind", "root"),
            'Invalid value "root" for --kind. Choose from: "secret", "public".',
        ),
        (("demo", "--customers", "0"), 'Invalid value "0" for --customers. Must be >= 1.'),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_misuse_is_one_line_and_exits_with_2(arguments: tuple[str, ...], said: str, command: Command) -> None:
    done = command(*arguments)

    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"server.py: {said}\n")


def test_migrate_says_what_it_did(command: Command, unmigrated_url: str) -> None:
    first, second = (command("migrate", DATABASE_URL=unmigrated_url) for _ in range(2))

    assert (first.returncode, first.stderr, second.returncode, second.stderr) == (0, "", 0, "")
    assert first.stdout == "The database has been brought up to date.\n"
    assert second.stdout == "The database is up to date already.\n"


def test_documents_are_printed_without_a_database(tmp_path: Path) -> None:
    schema, openapi = (run(tmp_path, name) for name in ("schema", "openapi"))

    assert (schema.returncode, schema.stderr, openapi.returncode, openapi.stderr) == (0, "", 0, "")
    assert "\ntype Query" in schema.stdout
    assert json.loads(openapi.stdout)["openapi"].startswith("3.1")
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_leaves_early_gets_no_traceback(tmp_path: Path) -> None:
    command = subprocess.Popen(
        [sys.executable, PROGRAM, "schema"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert command.stdout is not None
    command.stdout.close()

    assert command.stderr is not None
    assert command.stderr.read() == b""
    assert command.wait() == 1
    command.stderr.close()
