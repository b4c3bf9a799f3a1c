"""`serve`: answer requests, after bringing the database up to date."""

import _sqlite3
import asyncio
import ctypes
import gc
import signal
import socket
import sqlite3
import sys
from contextlib import suppress
from typing import Annotated

import uvicorn
from cyclopts import Parameter
from cyclopts.validators import Number
from uvicorn.config import STARTUP_FAILURE

try:
    import resource
except ImportError:  # Windows bounds no files
    resource = None  # type: ignore[assignment]

from asgi import logs
from asgi.http_protocol import Bounds, Connections
from commands import first_start
from commands.migrate import opened_with_keyring
from commands.supervisor import START_SECONDS, Supervisor
from resolvers.signing_keys import make_missing
from settings import Settings, read_settings

_SQLITE_CONFIG_MEMSTATUS = 9  # sqlite3.h
OTHER_FILES = 256  # that a process has open beside its clients' connections
GRACE_SECONDS = 25  # to finish what is in flight; orchestrators wait 30 before they kill


class CannotServe(Exception):
    """Something that no request could be answered with. The message says what."""


def serve(
    *,
    host: Annotated[str | None, Parameter(help="The address to listen on, instead of HOST.")] = None,
    port: Annotated[int | None, Parameter(help="The port, instead of PORT. 0 takes any free one.")] = None,
    workers: Annotated[int, Parameter(validator=Number(gte=1), help="How many processes answer.")] = 1,
    no_migrate: Annotated[
        bool, Parameter(negative="", show_default=False, help="Take the database as it is.")
    ] = False,
) -> None:
    """Answer requests, after bringing the database up to date.

    SIGTERM and Ctrl-C end it; what is in flight is finished first. A new database gets an account, a
    secret key, which is printed once, and a small app to look at; and a file is written with a master key.
    """
    count_no_memory()
    settings = read_settings(host=host, port=port)
    logs.configure(settings.log_level, settings.log_format)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with _listen(settings.host, settings.port) as listener:
        url = _url(settings.host, listener.getsockname()[1])
        key = asyncio.run(_prepare(settings, migrate=not no_migrate))
        if key is not None:
            print(first_start.welcome(url, key))  # noqa: T201
        where = "the dashboard at /, the graph and GraphiQL at /graphql"
        print(f"Licensegraph answers at {url} ({where})", flush=True)  # noqa: T201
        _answer(listener, workers, settings)


async def _prepare(settings: Settings, *, migrate: bool) -> str | None:
    """Make the database ready. Answers its first key, if this made it."""
    async with opened_with_keyring(settings, migrate=migrate) as (database, keyring):
        await make_missing(database, keyring)
        return await first_start.begin(database, keyring)


def _listen(host: str, port: int) -> socket.socket:
    """Take the address before anything else is done: a server that cannot answer shall change nothing."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, UnicodeError) as error:
        reason = str(getattr(error, "strerror", error)).partition(" (")[0]
        raise CannotServe(f"cannot listen on {host}, port {port}: {reason}") from error


def _url(host: str, port: int) -> str:
    """An address of the server as a browser on this machine takes it."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104  (every address of the machine, and so this one)
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
        http=Connections(bounds),  # type: ignore[arg-type]  # it is called, as a class is
        timeout_keep_alive=settings.keep_alive_s,
        workers=workers,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here asks who is calling but by the key
        ws="none",
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_worker_healthcheck=START_SECONDS,  # of a restart by SIGHUP
    )
    if workers == 1:
        uvicorn.Server(config).run([listener])
        return
    supervisor = Supervisor(config, [listener], grace_seconds=GRACE_SECONDS + 2)
    supervisor.run()
    if supervisor.has_failed:
        sys.exit(STARTUP_FAILURE)


def _allow_files(connections: int) -> None:
    """Have the system allow this process and its workers as many files as they may have connections."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES if connections else hard
    if resource.RLIM_INFINITY not in {soft, wanted} and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def count_no_memory() -> None:
    """Have SQLite keep no statistics of its memory. To be called before anything is opened.

    It counts every allocation under a lock that all threads share: those that read a dashboard at once spent
    more than half of their time on it. Python has no function for it. Where the library cannot be reached, or
    is in use, everything stays as it was.
    """
    # Elsewhere a function of variable arguments may be called in another way.
    if sys.platform != "linux" or any(isinstance(each, sqlite3.Connection) for each in gc.get_objects()):
        return
    with suppress(AttributeError, OSError):  # built into Python, or hidden there
        library = ctypes.CDLL(_sqlite3.__file__)
        shut_down, configure = library.sqlite3_shutdown, library.sqlite3_config
        shut_down()
        configure(_SQLITE_CONFIG_MEMSTATUS, 0)
        library.sqlite3_initialize()
