"""The command line with all commands. For expected errors, it prints a message instead of a traceback."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from cyclopts import App, CycloptsError

from commands import serve
from commands.misuse import explain, explain_faults
from db.engine import StoreUnavailable
from db.postgresql import PoolerFound
from db.revisions import MigrationError, UnfitDatabase
from resolvers.counters import CountersOff
from resolvers.errors import Faults, Refused
from resolvers.keyring import MasterKeyError
from settings import InvalidSettings

FAILED, MISUSED, INTERRUPTED = 1, 2, 130

_EXPECTED_ERRORS = (
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
    name="./licensegraph",
    help="Licensegraph: a license server with a GraphQL and a REST API. The default command is serve.",
    help_epilogue="Settings are read from the environment and from .env. README.md lists them.",
    version_flags=(),
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
)
command_line.default(serve.serve)
command_line.command(serve.serve)
# The other commands are given as names, so that a command's module is imported only if it is chosen.
command_line.command("commands.migrate:migrate", help="Run pending database migrations.")
command_line.command(
    "commands.keys:keys",
    name="keys",
    help="Create, list and revoke API keys; rotate the signing keys of apps.",
)
command_line.command("commands.accounts:accounts", name="accounts", help="List, rename and remove accounts.")
command_line.command("commands.demo:demo", help="Create a demo app with realistic customers and licenses.")
command_line.command(
    "commands.counters:counters",
    name="counters",
    help="Check the stored totals against the rows that they count, and correct them.",
)
command_line.command(
    "commands.customers:customers",
    name="customers",
    help="List customers of the same app whose emails are equal.",
)
command_line.command(
    "commands.documents:documents",
    name="documents",
    help="Register GraphQL documents for keys that may send no others; check, list and delete them.",
)
command_line.command(
    "commands.events:events",
    name="events",
    help="Print events, check the log against the tables, and erase the data of deleted customers.",
)
command_line.command("commands.schema:schema", help="Print the GraphQL schema.")
command_line.command("commands.openapi:openapi", help="Print the OpenAPI document of the REST API.")


def main(arguments: Sequence[str]) -> None:
    """Run a command, and exit if it fails. `arguments` does not include the program's name."""
    try:
        output = command_line(arguments)
        if isinstance(output, str):
            print(output, flush=True)  # noqa: T201  (a command returns what it prints)
    except CycloptsError as error:
        _fail(explain(error), MISUSED)
    except Faults as error:
        wrong = explain_faults(error, command_line, arguments)
        _fail(wrong or str(error), MISUSED if wrong else FAILED)
    except StoreUnavailable as error:
        _fail(f"the database is unavailable: {_cause(error)}")
    except _EXPECTED_ERRORS as error:
        _fail(str(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The program that reads our output has closed the pipe. At exit, Python must not try to write the
        # rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)


def _cause(error: StoreUnavailable) -> str:
    """Return the first line of the driver's message, or the error's type if there is no message."""
    cause = getattr(error.__cause__, "orig", error.__cause__)
    return str(cause).partition("\n")[0] or type(cause).__name__


def _fail(message: str, code: int = FAILED) -> NoReturn:
    for line in message.strip().splitlines() or [""]:
        print(f"licensegraph: {line}", file=sys.stderr)  # noqa: T201
    sys.exit(code)
