"""The supervisor of `serve --workers N`: keeps N processes answering, and none that it does not know of.

uvicorn's own pings a worker and waits for the answer, five seconds and no more: one that is still being
imported, on a busy machine, was killed and begun anew, again and again. This one waits for nobody. It gives a
worker long to start and, once it has answered, less to answer again.
"""

import os
import signal
import threading
import time
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess
from socket import socket

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

START_SECONDS = 300
"""How long a worker may take until it first answers: Python has to import everything by then."""

ANSWER_SECONDS = 15
"""How long one that has answered may take to answer again; then it hangs, and is replaced."""

ORPHAN_SECONDS = 1
"""How long a worker whose supervisor is gone finishes what is in flight."""

log = structlog.get_logger("licensegraph.supervisor")


class _Health:
    """What is known of a worker. There is one question under way, or none."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._has_answered = False
        self._asked_at: float | None = None

    def is_well(self) -> bool:
        """Look whether the worker has answered, and ask anew. Waits for nothing."""
        if not self._process.process.is_alive():
            return False
        connection, now = self._process.parent_conn, time.monotonic()
        try:
            if connection.poll():
                connection.recv()
                self._has_answered, self._asked_at = True, None
            if self._asked_at is None:
                connection.send(b"ping")
                self._asked_at = now
        except (OSError, EOFError):
            return False
        return now - self._asked_at < (ANSWER_SECONDS if self._has_answered else START_SECONDS)


class Supervisor(Multiprocess):
    """Runs workers until it is told to end, and replaces those that end or hang."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket], *, grace_seconds: float) -> None:
        """`grace_seconds` is how long a worker that is told to end may take; then it is killed."""
        super().__init__(config, sockets)
        self._grace_seconds = grace_seconds
        self._health: dict[Process, _Health] = {}

    @property
    def has_failed(self) -> bool:
        """Whether it has ended because a worker cannot start."""
        return any(process.exitcode == STARTUP_FAILURE for process in self.processes)

    def keep_subprocess_alive(self) -> None:
        """Look after every worker, once."""
        self._health = {process: self._health.get(process) or _Health(process) for process in self.processes}
        for place, process in enumerate(self.processes):
            if self._health[process].is_well():
                continue
            hangs = process.process.is_alive()
            process.kill()
            process.join()
            if process.exitcode == STARTUP_FAILURE:  # as the next one would
                log.error("worker.failed", pid=process.pid)
                self.should_exit.set()
                return
            log.error("worker.replaced", pid=process.pid, reason="hung" if hangs else "ended")
            self.processes[place] = Process(self.config, self.sockets)
            self.processes[place].start()

    def join_all(self) -> None:
        """Wait until every worker has ended, and no longer than they may take."""
        deadline = time.monotonic() + self._grace_seconds
        for process in self.processes:
            process.process.join(max(0, deadline - time.monotonic()))
            if process.process.is_alive():
                process.kill()
            process.process.join()


def end_with_supervisor() -> None:
    """Have this process end when the one that has started it as a worker is gone. Elsewhere: nothing."""
    supervisor = parent_process()
    if supervisor is not None:
        threading.Thread(target=_end_after, args=(supervisor,), name="orphan", daemon=True).start()


def _end_after(supervisor: BaseProcess) -> None:
    supervisor.join()
    log.error("supervisor.gone")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHAN_SECONDS)
    os._exit(1)
