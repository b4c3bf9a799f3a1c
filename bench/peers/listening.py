"""Serves the Python peers in the same way as Licensegraph: one uvicorn process on the loopback interface."""

import argparse
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp


def serve(create_app: Callable[[str], ASGIApp]) -> None:
    """Create the application for the database URL on the command line, and serve it until SIGTERM.

    The server uses a free port, and prints its address.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("url", help="the database, as in DATABASE_URL")
    app = create_app(parser.parse_args().url)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"It is running at http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        config = uvicorn.Config(
            app, loop="uvloop", http="httptools", ws="none", access_log=False, log_level="warning"
        )
        uvicorn.Server(config).run([listener])
