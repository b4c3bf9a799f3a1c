"""The commands put together, and how each of them may fail: in one line, without a traceback."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from cyclopts import App, CycloptsError, UnusedCliTokensError

from commands import serve
from db.engine import StoreUnavailable
from db.postgresql import PoolerFound
from db.revisions import MigrationError, UnfitDatabase
from resolvers.counters import CountersOff
from resolvers.errors import Refused
from resolvers.keyring import MasterKeyError
from settings import InvalidSettings

FAILED, MISUSED = 1, 2

_SAID_PLAINLY = (
    InvalidSettings,
    PoolerFound,
    serve.CannotServe,
    MigrationError,
    UnfitDatabase,
    CountersOff,
    MasterKeyError,
    Refused,
)

command_line = App(
    name="server.py",
    help="Licensegraph: apps, their customers and their licenses, as one graph. Without a command: serve.",
    help_epilogue="Settings come from the environment and from .env; README.md lists them.",
    version_flags=(),
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
)
command_line.default(serve.serve)
command_line.command(serve.serve)
# By name: what a command does not need, it does not wait for.
command_line.command("commands.migrate:migrate", help="Bring the database up to date.")
command_line.command(
    "commands.keys:keys",
    name="keys",
    help="Make, list and revoke API keys; rotate the signing keys of apps.",
)
command_line.command("commands.demo:demo", help="Load believable customers and licenses into a new app.")
command_line.command(
    "commands.counters:counters",
    name="counters",
    help="Compare the kept totals with the rows they count, and mend them.",
)
command_line.command("commands.schema:schema", help="Print the GraphQL schema.")
command_line.command("commands.openapi:openapi", help="Print the OpenAPI document of the REST interface.")


def main(arguments: Sequence[str]) -> None:
    """Run a command, `arguments` being what follows the program's name. Exits if it fails."""
    try:
        answer = command_line(arguments)
        if isinstance(answer, str):
            print(answer, flush=True)  # noqa: T201  (what a command answers is what it prints)
    except UnusedCliTokensError as error:
        unknown = " ".join(error.unused_tokens or ())
        _fail(f"unknown command or argument: {unknown} (--help lists them)", MISUSED)
    except CycloptsError as error:
        _fail(str(error), MISUSED)
    except StoreUnavailable as error:
        _fail(f"the database does not answer: {_cause(error)}")
    except _SAID_PLAINLY as error:
        _fail(str(error))
    except BrokenPipeError:
        # Whoever read our output has read enough. Closing down must not try to write the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)


def _cause(error: StoreUnavailable) -> str:
    """What the driver said, in its first line."""
    cause = getattr(error.__cause__, "orig", error.__cause__)
    return str(cause).partition("\n")[0] or type(cause).__name__


def _fail(message: str, code: int = FAILED) -> NoReturn:
    for line in message.strip().splitlines() or [""]:
        print(f"server.py: {line}", file=sys.stderr)  # noqa: T201
    sys.exit(code)
