"""`serve`: run pending migrations, then start the server."""

import _sqlite3
import asyncio
import ctypes
import gc
import signal
import socket
import sqlite3
import sys
from contextlib import suppress
from functools import cache
from typing import Annotated

import structlog
import uvicorn
from cyclopts import Parameter
from uvicorn.config import STARTUP_FAILURE

try:
    import resource
except ImportError:  # Windows does not have this module
    resource = None  # type: ignore[assignment]

from asgi import logs
from asgi.http_protocol import Bounds, Connections
from commands import first_start
from commands.database import open_database_and_keyring
from commands.misuse import not_empty, whole_number
from commands.supervisor import START_SECONDS, Supervisor
from resolvers.signing_keys import make_missing
from settings import Settings, read_settings, unknown_variables

_SQLITE_CONFIG_MEMSTATUS = 9  # from sqlite3.h
OTHER_FILES = 256  # open files of a process in addition to client connections
GRACE_SECONDS = 25  # to finish requests in progress; orchestrators kill a process after 30 seconds


log = structlog.get_logger("licensegraph.settings")


class CannotServe(Exception):
    """The server cannot start. The message says why."""


def serve(
    *,
    host: Annotated[
        str | None, Parameter(validator=not_empty, help="The address to listen on. Overrides HOST.")
    ] = None,
    port: Annotated[
        int | None,
        Parameter(converter=whole_number(0, 65_535), help="The port. Overrides PORT. 0 picks a free port."),
    ] = None,
    workers: Annotated[
        int, Parameter(converter=whole_number(1, 1_000), help="The number of worker processes.")
    ] = 1,
    no_migrate: Annotated[
        bool, Parameter(negative="", show_default=False, help="Do not run database migrations.")
    ] = False,
) -> None:
    """Run pending database migrations and start the server.

    SIGTERM and Ctrl-C stop the server; requests in progress are finished first. The first start creates an
    account, a secret key (which is printed once), a small example app and, unless a master key is configured,
    a file with a new master key.
    """
    count_no_memory()
    settings = read_settings(host=host, port=port)
    logs.configure(settings.log_level, settings.log_format)
    log_unknown_variables()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with _listen(settings.host, settings.port) as listener:
        url = _url(settings.host, listener.getsockname()[1]) + settings.path_prefix
        key = asyncio.run(_prepare(settings, migrate=not no_migrate))
        if key is not None:
            print(first_start.welcome(url, key))  # noqa: T201
        root = f"{settings.path_prefix}/"
        where = f"dashboard at {root}, GraphQL and GraphiQL at {root}graphql"
        print(f"Licensegraph is running at {url} ({where})", flush=True)  # noqa: T201
        _answer(listener, workers, settings)


async def _prepare(settings: Settings, *, migrate: bool) -> str | None:
    """Prepare the database for serving. Return the first API key if it was just created, otherwise None.

    If `migrate` is true, pending migrations run. Signing keys that apps lack are created.
    """
    async with open_database_and_keyring(settings, migrate=migrate) as (database, keyring):
        await make_missing(database, keyring)
        return await first_start.begin(database, keyring)


def _listen(host: str, port: int) -> socket.socket:
    """Bind the address.

    This is done before the database is opened, because a server that cannot listen must not change it.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, UnicodeError) as error:
        reason = str(getattr(error, "strerror", error)).partition(" (")[0]
        raise CannotServe(f"cannot listen on {host}, port {port}: {reason}") from error


def _url(host: str, port: int) -> str:
    """Return a URL of the server that works in a browser on this machine."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104  (all addresses, so this machine's too)
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _answer(listener: socket.socket, workers: int, settings: Settings) -> None:
    _allow_files(settings.max_connections)
    bounds = Bounds(
        max_header_bytes=settings.max_header_bytes,
        header_timeout_s=settings.header_timeout_s,
        body_timeout_s=settings.body_timeout_s,
        send_timeout_s=settings.send_timeout_s,
        max_connections=settings.max_connections,
    )
    config = uvicorn.Config(
        "server:create_app",
        factory=True,
        http=Connections(bounds),  # type: ignore[arg-type]  # uvicorn calls it like a class
        timeout_keep_alive=settings.keep_alive_s,
        workers=workers,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # `asgi.clients` reads them instead
        ws="none",
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_worker_healthcheck=START_SECONDS,  # only used for a restart by SIGHUP
    )
    if workers == 1:
        uvicorn.Server(config).run([listener])
        return
    supervisor = Supervisor(config, [listener], grace_seconds=GRACE_SECONDS + 2)
    supervisor.run()
    if supervisor.has_failed:
        sys.exit(STARTUP_FAILURE)


def _allow_files(connections: int) -> None:
    """Raise the limit on open files, so that this process and its workers can open all their connections."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES if connections else hard
    if resource.RLIM_INFINITY not in {soft, wanted} and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


@cache
def log_unknown_variables() -> None:
    """Log a warning for each variable that looks like a setting but is not one. Later calls do nothing."""
    for variable, nearest in unknown_variables().items():
        log.warning("setting.unknown", variable=variable, nearest=nearest)


def count_no_memory() -> None:
    """Turn off SQLite's memory statistics. Call this before any database is opened.

    SQLite counts every allocation under a lock that all threads share. Threads that read a dashboard at the
    same time spent more than half of their time waiting for this lock. Python has no function for this
    setting, so SQLite's library is called directly. If the library cannot be reached or is already in use, or
    if the platform is not Linux, nothing changes.
    """
    # On other platforms, variadic functions may have a different calling convention. An open connection means
    # that SQLite is already in use.
    if sys.platform != "linux" or any(isinstance(each, sqlite3.Connection) for each in gc.get_objects()):
        return
    with suppress(AttributeError, OSError):  # SQLite may be built into Python, or its symbols may be hidden
        library = ctypes.CDLL(_sqlite3.__file__)
        shut_down, configure = library.sqlite3_shutdown, library.sqlite3_config
        shut_down()
        configure(_SQLITE_CONFIG_MEMSTATUS, 0)
        library.sqlite3_initialize()
