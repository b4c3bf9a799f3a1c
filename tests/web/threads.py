"""A thread of its own for what cannot live in the main one."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Thread:
    """Runs one call after the other, all in the same thread."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self._executor = executor

    def run(self, call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Wait for a call, and answer what it answers or raise what it raises."""
        return self._executor.submit(call, *arguments, **named).result()

    @contextmanager
    def within(self, manager: AbstractContextManager[T, Any]) -> Iterator[T]:
        """Enter and leave a context manager there."""
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
