"""The supervisor of `serve --workers N`: keeps N worker processes running, and leaves none behind.

uvicorn's own supervisor pings a worker and waits up to five seconds for the reply. On a busy machine, it
repeatedly killed and restarted workers that were still importing their modules. This supervisor does not
block while it waits for a reply. It gives a worker a long time to start, and less time for each reply after
the first.
"""

import os
import signal
import threading
import time
from multiprocessing import current_process, parent_process
from multiprocessing.process import BaseProcess
from socket import socket

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

START_SECONDS = 300
"""The time limit for a worker's first reply. Before that, the worker imports all modules."""

ANSWER_SECONDS = 15
"""The time limit for each later reply. A worker that takes longer counts as hung and is replaced."""

ORPHAN_SECONDS = 1
"""How long a worker without a supervisor may take to finish its requests."""

log = structlog.get_logger("licensegraph.supervisor")


class _Health:
    """The health of one worker. At most one ping is waiting for a reply."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._has_answered = False
        self._asked_at: float | None = None

    def is_well(self) -> bool:
        """Return whether the worker runs and replies in time. Does not block.

        If no ping is waiting for a reply, the worker is pinged.
        """
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
    """Runs workers until it is stopped. Replaces workers that exit or hang."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket], *, grace_seconds: float) -> None:
        """`grace_seconds` is how long a worker may take to stop before it is killed."""
        super().__init__(config, sockets)
        self._grace_seconds = grace_seconds
        self._health: dict[Process, _Health] = {}

    @property
    def has_failed(self) -> bool:
        """Whether the supervisor stopped because a worker cannot start."""
        return any(process.exitcode == STARTUP_FAILURE for process in self.processes)

    def keep_subprocess_alive(self) -> None:
        """Check every worker once, and replace workers that have exited or hang.

        If a worker could not start, the supervisor stops instead.
        """
        self._health = {process: self._health.get(process) or _Health(process) for process in self.processes}
        for place, process in enumerate(self.processes):
            if self._health[process].is_well():
                continue
            hangs = process.process.is_alive()
            process.kill()
            process.join()
            if process.exitcode == STARTUP_FAILURE:  # a new worker would fail too
                log.error("worker.failed", pid=process.pid)
                self.should_exit.set()
                return
            log.error("worker.replaced", pid=process.pid, reason="hung" if hangs else "ended")
            self.processes[place] = Process(self.config, self.sockets)
            self.processes[place].start()

    def join_all(self) -> None:
        """Wait for every worker to exit, and kill workers that exceed the grace period."""
        deadline = time.monotonic() + self._grace_seconds
        for process in self.processes:
            process.process.join(max(0, deadline - time.monotonic()))
            if process.process.is_alive():
                process.kill()
            process.process.join()


def is_first_worker() -> bool:
    """Return whether this process should do the work that is done once when a server starts.

    True for a process without a supervisor and for the first worker. A worker that replaces another one is
    not the first worker.
    """
    # multiprocessing numbers the children of a process: SpawnProcess-1, SpawnProcess-2, …
    return parent_process() is None or current_process().name.endswith("-1")


def end_with_supervisor() -> None:
    """Make this process exit when its supervisor is gone. Does nothing if this process is not a worker."""
    supervisor = parent_process()
    if supervisor is not None:
        threading.Thread(target=_end_after, args=(supervisor,), name="orphan", daemon=True).start()


def _end_after(supervisor: BaseProcess) -> None:
    supervisor.join()
    log.error("supervisor.gone")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHAN_SECONDS)
    os._exit(1)
