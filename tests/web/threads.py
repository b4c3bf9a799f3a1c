"""A separate thread for code that cannot run in the main thread."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Thread:
    """Runs calls one after another, all in the same thread."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self._executor = executor

    def run(self, call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Run a call in the thread and wait for it. Return its result, or raise its error."""
        return self._executor.submit(call, *arguments, **named).result()

    @contextmanager
    def within(self, manager: AbstractContextManager[T, Any]) -> Iterator[T]:
        """Enter and leave a context manager, both in the thread."""
        value = self.run(manager.__enter__)
        try:
            yield value
        except BaseException:
            if not self.run(manager.__exit__, *sys.exc_info()):
                raise
        else:
            self.run(manager.__exit__, None, None, None)


@contextmanager
def new_thread(name: str) -> Iterator[Thread]:
    with ThreadPoolExecutor(1, thread_name_prefix=name) as executor:
        yield Thread(executor)
