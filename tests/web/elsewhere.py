"""A web server for pages of another origin: another port of 127.0.0.1."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


class _Handler(SimpleHTTPRequestHandler):
    """Serves the files of a folder. Replaces the texts that a user would edit in these files."""

    def __init__(self, *given: object, replaced: Mapping[str, str], **named: object) -> None:
        self._replaced = replaced
        super().__init__(*given, **named)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        file = Path(self.translate_path(self.path))
        file = file / "index.html" if file.is_dir() else file
        if not file.is_file():
            self.send_error(404)
            return
        content = file.read_text()
        for before, after in self._replaced.items():
            content = content.replace(before, after)
        raw = content.encode()
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(file)))
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def served_elsewhere(folder: Path, replaced: Mapping[str, str]) -> Iterator[str]:
    """Serve the files of a folder, and yield the origin.

    Each key of `replaced` is replaced with its value in all files.
    """
    handler = partial(_Handler, directory=str(folder), replaced=replaced)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
