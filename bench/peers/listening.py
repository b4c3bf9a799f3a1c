"""How the peers in Python are served: as Licensegraph is, by one uvicorn process on loopback."""

import argparse
import socket
from collections.abc import Callable

import uvicorn


def serve(create_app: Callable[[str], object]) -> None:
    """Serve the application made for a database's URL until SIGTERM, on a free port that is printed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url", help="what DATABASE_URL takes")
    app = create_app(parser.parse_args().url)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"It answers at http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        config = uvicorn.Config(
            app, loop="uvloop", http="httptools", ws="none", access_log=False, log_level="warning"
        )
        uvicorn.Server(config).run([listener])
