"""Why something was not done.

    Refused             what the caller asked for was not done; safe to show
    ├─ Unauthenticated  no key where one is needed, or one that is unknown, revoked, expired or malformed
    ├─ Forbidden        the key may not do this
    ├─ BadUserInput     an argument that cannot be understood: nothing was asked of the store
    ├─ Busy             too many wait for the same already; later it may be done
    └─ Faults           what the caller can mend, all of it at once; nothing was written

Every door has one table from these to its own codes. `db.engine.StoreUnavailable` passes through as it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class FaultCode(StrEnum):
    """What is wrong with an input, in a word that clients may branch on."""

    BLANK = "BLANK"
    INVALID = "INVALID"
    TOO_LONG = "TOO_LONG"
    TAKEN = "TAKEN"
    NOT_FOUND = "NOT_FOUND"
    IN_USE = "IN_USE"
    WRONG_STATE = "WRONG_STATE"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to mend. `field` is the path inside the input, in snake case; empty for the whole of it.

    `message` continues a sentence that begins with the field's name: "has already been taken".
    """

    code: FaultCode
    message: str
    field: tuple[str, ...] = ()


class Refused(Exception):
    """What the caller asked for was not done. The message is safe to show."""


class Unauthenticated(Refused):
    """The caller is not known."""

    def __init__(self, message: str = "A valid API key is required: Authorization: Bearer sk_live_…") -> None:
        super().__init__(message)


class Forbidden(Refused):
    """The caller is known, and may not do this."""


class BadUserInput(Refused):
    """An argument of a read cannot be understood. `argument` is its name, in snake case."""

    def __init__(self, argument: str, message: str) -> None:
        super().__init__(message)
        self.argument = argument


class Busy(Refused):
    """Too many wait for the same already, or the time for it is over. It may be asked for again later."""


class Faults(Refused):
    """The faults of one input, all together."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{'.'.join(fault.field)} {fault.message}" for fault in self.faults))


def fault(code: FaultCode, message: str, *field: str) -> Faults:
    """A single fault, to be raised."""
    return Faults([Fault(code, message, field)])


def unknown(value: str, field: str) -> Faults:
    """A value that was to name something, and names nothing: for there is no such thing, or it is empty."""
    if not value:
        return fault(FaultCode.BLANK, "can't be blank", field)
    return fault(FaultCode.NOT_FOUND, "does not exist", field)
