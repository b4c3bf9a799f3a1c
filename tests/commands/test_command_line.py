"""Rules for all commands: help, misuse and output."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from commands.command_line import command_line
from tests.commands.conftest import Command
from tests.processes import PROGRAM, run

ROOT = PROGRAM.parent
COMMANDS = (
    (),
    ("serve",),
    ("migrate",),
    ("keys",),
    ("keys", "create"),
    ("keys", "list"),
    ("keys", "revoke"),
    ("keys", "rotate"),
    ("accounts",),
    ("accounts", "list"),
    ("accounts", "rename"),
    ("accounts", "remove"),
    ("counters",),
    ("counters", "check"),
    ("counters", "repair"),
    ("demo",),
    ("schema",),
    ("openapi",),
)

REQUIRED: dict[tuple[str, ...], list[str]] = {
    ("keys", "create"): ["--kind=secret"],
    ("keys", "rotate"): ["--app=my-app"],
}
"""The options that a command requires. Commands that require none are left out."""


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_every_command_has_help(name: tuple[str, ...], command: Command) -> None:
    shown = command(*name, "--help")

    usage, _, rest = shown.stdout.partition("\n")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert usage.startswith(" ".join(("Usage: ./licensegraph", *name)))
    about = rest.strip().splitlines()[0]
    assert len(about) > 10
    assert not about.startswith("╭")


MISUSES = {
    "launch": "unknown command or argument: launch (--help lists them)",
    "serve now": "unknown command or argument: now (--help lists them)",
    "keys launch": "unknown command or argument: launch (--help lists them)",
    "--launch": "unknown option: --launch (--help lists them)",
    "-p 4": "unknown option: -p (--help lists them)",
    "--prot 80": "unknown option: --prot (did you mean --port?)",
    "keys create --kin=secret": "unknown option: --kin (did you mean --kind?)",
    "--port high": "--port must be a whole number from 0 to 65,535",
    "--port 65536": "--port must be a whole number from 0 to 65,535",
    "--port 5.5": "--port must be a whole number from 0 to 65,535",
    "--port=-1": "--port must be a whole number from 0 to 65,535",
    "--port=": "--port must be a whole number from 0 to 65,535",
    "--port": "--port needs a value",
    "--host=": "--host must not be empty",
    "--workers 0": "--workers must be a whole number from 1 to 1,000",
    "--workers 1e400": "--workers must be a whole number from 1 to 1,000",
    "--workers 2 --workers 3": "--workers is given twice",
    "--no-migrate=perhaps": "--no-migrate must be true or false",
    "keys create": "--kind is required: secret or public",
    "keys create --kind": "--kind needs a value",
    "keys create --kind root": "--kind must be one of: secret, public",
    "keys create --kind secret --expires-in 90": "--expires-in must be a duration such as 90d or 12h",
    "keys create --kind secret --expires-in 0s": "--expires-in must be a second at least",
    "keys create --kind secret --expires-at 2020-01-01T00:00:00Z": "--expires-at must be in the future",
    "keys create --kind secret --account=": "--account can't be blank",
    "keys list --json=perhaps": "--json must be true or false",
    "keys revoke": "ID_OR_TOKEN is required",
    "keys revoke a b": "unknown command or argument: b (--help lists them)",
    "keys rotate": "--app is required",
    "keys rotate --app=": "--app must not be empty",
    "keys rotate --app my-app --retire soon": "--retire must be one of: after-last-expiry, immediately",
    "accounts rename Acme": "NEW_NAME is required",
    "accounts remove": "NAME is required",
    "demo --customers 0": "--customers must be a whole number from 1 to 100,000,000",
    "demo --customers 1_000": "--customers must be a whole number from 1 to 100,000,000",
    "demo --licenses-per-customer 1001": "--licenses-per-customer must be a whole number from 0 to 1,000",
}


@pytest.mark.parametrize("arguments", MISUSES)
def test_misuse_is_one_line_exits_with_2_and_changes_nothing(
    arguments: str, command: Command, tmp_path: Path
) -> None:
    done = command(*arguments.split())

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"licensegraph: {MISUSES[arguments]}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_every_option_of_every_command_needs_a_right_value(name: tuple[str, ...], command: Command) -> None:
    """A wrong value is refused. An option that accepts any text is refused without a value."""
    *_, app = command_line.parse_commands(name)[1]
    options = app.assemble_argument_collection() if app.default_command else ()
    for option in options:
        if not option.name.startswith("--"):
            continue
        wrong = option.name if _takes_text(option.hint) else f"{option.name}=\x7f"
        others = [each for each in REQUIRED.get(name, ()) if not each.startswith(option.name)]
        done = command(*name, *others, wrong)

        assert (done.returncode, done.stdout) == (2, "")
        assert re.fullmatch(rf"licensegraph: {option.name} (must be|needs) .+\n", done.stderr)


def _takes_text(hint: object) -> bool:
    return hint is str or str in get_args(hint)


def test_the_launcher_runs_the_command_line_from_any_folder(tmp_path: Path) -> None:
    """`./licensegraph` uses the Python of .venv without activation, even if it is run through a link."""
    home = installation(tmp_path / "my licenses")
    (tmp_path / "link").symlink_to(home / "licensegraph")

    for program in (home / "licensegraph", tmp_path / "link"):
        done = launched(program, "keys", "create", "--kind", "secret", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("sk_live_")
    assert launched(home / "licensegraph", "launch", cwd=tmp_path).returncode == 2


def test_without_the_dependencies_the_launcher_says_in_one_line_how_to_get_them(tmp_path: Path) -> None:
    home = installation(tmp_path)
    shutil.rmtree(home / ".venv")
    said = f"licensegraph: the dependencies are not installed yet: run `make -C {home} install`\n"

    nothing = launched(home / "licensegraph", "keys", "list", cwd=tmp_path)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home / ".venv"], check=True)
    interrupted = launched(home / "licensegraph", "keys", "list", cwd=tmp_path)

    assert [(each.returncode, each.stdout, each.stderr) for each in (nothing, interrupted)] == [
        (1, "", said)
    ] * 2


def installation(folder: Path) -> Path:
    """Create an installation with a copy of the launcher, and links to the code and the packages of this one.

    Returns the folder of the new installation.
    """
    home = folder / "licensegraph"
    home.mkdir(parents=True)
    for item in ROOT.iterdir():
        if item.name == "licensegraph":
            shutil.copy2(item, home)
        elif item.suffix == ".py" or (item / "__init__.py").exists():
            (home / item.name).symlink_to(item)
    (home / ".venv").mkdir()
    for item in Path(sys.prefix).iterdir():
        (home / ".venv" / item.name).symlink_to(item)
    return home


def launched(program: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        [program, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_migrate_prints_what_it_did(command: Command, unmigrated_url: str) -> None:
    first, second = (command("migrate", DATABASE_URL=unmigrated_url) for _ in range(2))

    assert (first.returncode, first.stderr, second.returncode, second.stderr) == (0, "", 0, "")
    assert first.stdout == "The database has been migrated.\n"
    assert second.stdout == "The database is already up to date.\n"


def test_schema_and_openapi_are_printed_without_a_database(tmp_path: Path) -> None:
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
