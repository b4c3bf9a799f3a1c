"""The size of objects is what Python has allocated for them."""

from collections.abc import Callable

import pytest

from db.shaping.selection import Lookup, Scalar
from db.sizes import size_of


class Elsewhere:
    """Holds something that is counted elsewhere."""

    def __init__(self, held: object) -> None:
        self.held = held


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
    made = make()

    # What is traced is what was asked of the allocator, which rounds it up.
    assert 0.97 * traced() <= size_of(made) <= 1.1 * traced()


def test_what_is_held_twice_is_counted_once() -> None:
    text = "x" * 1_000

    assert size_of([text, text], text) == size_of([text, None]) - size_of(None)


def test_code_is_not_counted() -> None:
    assert size_of(Lookup, size_of, pytest, "".join, Elsewhere(1).__init__) == 0


def test_what_is_counted_elsewhere_is_left_out_with_all_below_it() -> None:
    text = "x" * 1_000

    assert size_of([Elsewhere(text)], apart_from=(Elsewhere,)) == size_of([None]) - size_of(None)
    assert size_of([Elsewhere(text)]) > 1_000
