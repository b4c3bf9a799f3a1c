"""`size_of` returns the memory that Python has allocated for objects."""

from collections.abc import Callable

import pytest

from db.shaping.selection import Lookup, Scalar
from db.sizes import size_of


class Elsewhere:
    """Holds an object. Both are left out of the size if this type is excluded."""

    def __init__(self, held: object) -> None:
        self.held = held

    def method(self) -> None: ...


@pytest.mark.parametrize(
    "make",
    [
        lambda: ["x" * number for number in range(1_000)],
        lambda: {f"key {number}": (number + 10**9, f"é{number}") for number in range(1_000)},
        lambda: tuple(Scalar(f"key {number}", f"name {number}") for number in range(1_000)),
        lambda: [bytes(100_000), bytes(200_000)],
    ],
    ids=["texts", "mapping", "dataclasses", "bytes"],
)
def test_the_size_is_what_is_allocated(make: Callable[[], object], traced: Callable[[], int]) -> None:
    made, allocated = [], []
    for _ in range(3):
        before = traced()
        made.append(make())
        allocated.append(traced() - before)

    # Use the smallest of three measurements, because other threads may allocate memory at the same time.
    # tracemalloc counts the requested sizes, but the allocator rounds them up.
    assert 0.97 * min(allocated) <= size_of(made[0]) <= 1.15 * min(allocated)


def test_shared_objects_are_counted_once() -> None:
    text = "x" * 1_000

    assert size_of([text, text], text) == size_of([text, None]) - size_of(None)


def test_code_is_not_counted() -> None:
    assert size_of(Lookup, size_of, pytest, "".join, Elsewhere(1).method) == 0


def test_instances_of_excluded_types_are_not_counted_with_all_they_hold() -> None:
    text = "x" * 1_000

    assert size_of([Elsewhere(text)], apart_from=(Elsewhere,)) == size_of([None]) - size_of(None)
    assert size_of([Elsewhere(text)]) > 1_000
