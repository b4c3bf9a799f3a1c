"""The errors that resolvers raise.

    Refused             the request was refused; the message is safe to show
    ├─ Unauthenticated  a key is required, or the key or license token that was sent is not valid
    ├─ Forbidden        the key or token does not allow this
    ├─ BadUserInput     an argument of a read is invalid; the database was not queried
    ├─ RateLimited      a limit of the key or of the address is reached; nothing was done
    ├─ KeyReused        the idempotency key was sent before, with another input; nothing was done
    ├─ InProgress       the first request with this idempotency key is still running; nothing was done
    ├─ Busy             too many requests are waiting, or the work took too long; trying again later may help
    └─ Faults           everything that is wrong with the input; nothing was written

GraphQL and REST each map these errors to their own codes, in `schema.pipeline.errors` and `rest.errors`. In
the graph, Faults become userErrors. In resolvers, only background work catches `db.engine.StoreUnavailable`
(`resolvers.background`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum


class FaultCode(StrEnum):
    """What is wrong with an input, as a code that programs can check."""

    BLANK = "BLANK"
    INVALID = "INVALID"
    TOO_LONG = "TOO_LONG"
    TAKEN = "TAKEN"
    NOT_FOUND = "NOT_FOUND"
    IN_USE = "IN_USE"
    WRONG_STATE = "WRONG_STATE"
    TRIAL_USED = "TRIAL_USED"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with an input.

    `field` is the path of the wrong value in the input, in snake case. It is empty if the input as a whole is
    wrong. `message` continues a sentence that begins with the field's name: "has already been taken". `names`
    are the fields that a message such as "needs exactly one of" lists at its end. `existing_id` is the id of
    the customer or license that already has the value or, for IN_USE, of a license that uses the object.
    """

    code: FaultCode
    message: str
    field: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    existing_id: str | None = None

    def written(self, spelled: Callable[[str], str] = str) -> str:
        """Return the message, including `names`. `spelled` returns a field's name as the caller writes it."""
        return f"{self.message}: {', '.join(map(spelled, self.names))}" if self.names else self.message

    def sentence(self) -> str:
        """Return the field's path and the message. An empty or blank name in the path is put in quotes."""
        path = ".".join(part if part.strip() else f'"{part}"' for part in self.field)
        return f"{path} {self.written()}".strip()


class Refused(Exception):
    """The request was refused. The message is safe to show."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


NO_KEY = "An API key is required. Send the header Authorization: Bearer sk_live_…"
NOT_A_BEARER = "The API key is not in the right header. Send it as Authorization: Bearer sk_live_…"
BAD_KEY = "The API key is unknown, expired or revoked."
"""The message is the same for every invalid key, so that callers cannot find out which keys exist."""

OTHER_ORIGIN = (
    "This key only works on pages of its origins, and the Origin of this request is not one of them."
)


class Unauthenticated(Refused):
    """The request has no valid API key, or its license token is not valid."""


class Forbidden(Refused):
    """The caller's key or token is valid, but does not allow this."""


class BadUserInput(Refused):
    """An argument of a read is invalid. `argument` is its name, in snake case."""

    def __init__(self, argument: str, message: str) -> None:
        super().__init__(message)
        self.argument = argument


class Busy(Refused):
    """Too many requests are waiting for the same resource, or the work took too long.

    Retrying later may help.
    """


class KeyReused(Refused):
    """The idempotency key was sent before, with another input."""

    def __init__(self) -> None:
        super().__init__(
            "This idempotency key was used for a request with another input. Use a new key for each request."
        )


class InProgress(Refused):
    """The first request with this idempotency key is still running."""

    def __init__(self) -> None:
        super().__init__("The first request with this idempotency key is still running. Try again soon.")


class RateLimited(Refused):
    """A limit is reached. `retry_after` is the number of seconds to wait before trying again."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Faults(Refused):
    """All faults of one input, in one error."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(fault.sentence() for fault in self.faults))


def fault(code: FaultCode, message: str, *field: str, existing_id: str | None = None) -> Faults:
    """Return an error with a single fault, for the caller to raise."""
    return Faults([Fault(code, message, field, existing_id=existing_id)])


def unknown(value: str, field: str) -> Faults:
    """Return the error for an id or slug that does not exist: NOT_FOUND, or BLANK if it is empty."""
    if not value:
        return fault(FaultCode.BLANK, "can't be blank", field)
    return fault(FaultCode.NOT_FOUND, "does not exist", field)
