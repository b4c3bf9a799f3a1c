"""Customer sessions: tokens for pages where customers see their own licenses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo

from db import clock, customer_sessions, customers, events, ids
from db.customer_sessions import Creator
from db.engine import WriteSession
from db.events import EventType
from db.keys import API_KEY
from resolvers.errors import BAD_KEY, FaultCode, Unauthenticated, fault, unknown
from resolvers.inputs import WITHOUT_FRACTION, Input, Text, check, invalid, is_storable
from resolvers.keys import image_values, new_token, stored_form
from resolvers.origins import Origins, are_within
from resolvers.viewer import KeyKind, Scope, Viewer

SHORTEST_S, USUAL_S, LONGEST_S = 300, 3_600, 86_400
_SCOPES = (Scope.READ, Scope.READ_TOKENS)


def _scopes(names: list[str], info: ValidationInfo) -> list[str]:
    if not names:
        raise invalid("can't be blank", FaultCode.BLANK)
    if not set(names) <= set(_SCOPES):
        raise invalid(f"can only have {' and '.join(scope.upper() for scope in _SCOPES)}")
    if info.context is not None and not set(names) <= info.context["scopes"]:
        raise invalid("has a scope that the key of this request does not have")
    return [scope for scope in _SCOPES if scope in {Scope.READ, *names}]


TtlSeconds = Annotated[
    int,
    Field(
        ge=SHORTEST_S,
        le=LONGEST_S,
        description=f"Seconds until the session ends, {SHORTEST_S} to {LONGEST_S:,}. It never lasts longer "
        "than the key that creates it.",
    ),
    WITHOUT_FRACTION,
]


class CustomerSessionTerms(Input):
    """How long a session lasts, and what it may do."""

    ttl_seconds: TtlSeconds = USUAL_S
    scopes: (
        Annotated[
            list[Text],
            AfterValidator(_scopes),
            Field(json_schema_extra={"minItems": 1, "items": {"type": "string", "enum": list(_SCOPES)}}),
        ]
        | None
    ) = Field(
        None,
        description="What the session may do: READ, which it always has, and READ_TOKENS, which shows the "
        "tokens of the customer's licenses and allows regenerating them. READ by default.",
    )
    origins: Origins | None = Field(
        None,
        description="Origins of the pages that may use the session, such as https://portal.example. By "
        "default, those of the key that creates it.",
    )


@dataclass(frozen=True, slots=True)
class CustomerSession:
    """A session that was just created. Its token is shown once and stored nowhere."""

    token: str
    expires_at: datetime
    customer_id: str


def require_creation(viewer: Viewer) -> None:
    """Raise Unauthenticated or Forbidden unless the viewer may create sessions.

    A session reads its customer, so the key that creates it must be able to do the same.
    """
    for scope in (Scope.WRITE_CUSTOMERS, Scope.READ, Scope.READ_CUSTOMERS):
        viewer.require(scope)


async def create_customer_session(
    viewer: Viewer, session: WriteSession, customer_id: str, values: Mapping[str, object]
) -> CustomerSession:
    """Create a session of a customer. Raises Faults.

    Without origins, it has those of the key that creates it. It also has that key's limits on documents, and
    does not last longer than that key. A customer has at most `db.customer_sessions.MOST_LIVE` live sessions:
    one more ends the oldest.
    """
    require_creation(viewer)
    given = check(CustomerSessionTerms, values, {"scopes": viewer.scopes})
    found = (
        await customers.find_for_update(session, viewer.tenant, customer_id)
        if is_storable(customer_id)
        else None
    )
    if found is None:
        raise unknown(customer_id, "customer_id")
    now = clock.now()
    creator = None
    if viewer.key_id is not None:
        creator = await customer_sessions.find_creator(session, viewer.key_id, now)
    if creator is None:
        raise Unauthenticated(BAD_KEY)  # revoked or expired in the meantime
    origins = _origins(given.origins, creator)
    new = ids.new_id(ids.KEY)
    token = new_token(KeyKind.SESSION)
    expires_at = now + timedelta(seconds=given.ttl_seconds)
    if creator.expires_at is not None:
        expires_at = min(expires_at, creator.expires_at)
    row = {
        "id": new.id,
        "account_id": viewer.account_id,
        "kind": KeyKind.SESSION.value,
        **stored_form(token),
        "created_at": new.created_at,
        "expires_at": expires_at,
        "scopes": given.scopes or [Scope.READ],
        "app_ids": [found.app_id],
        "origins": origins,
        "documents": creator.documents,
        "document_sets": creator.document_sets,
        "customer_id": customer_id,
        "created_by": viewer.key_id,
    }
    await customer_sessions.add(session, row, now)
    values = image_values(viewer.account_id, viewer.policy)
    await events.record(session, viewer.actor, API_KEY, new.id, EventType.SESSION_CREATED, values=values)
    return CustomerSession(token, expires_at, customer_id)


def _origins(given: Sequence[str] | None, creator: Creator) -> Sequence[str] | None:
    """Return the origins of a session: those given, or those of the key that creates it. Raises Faults."""
    if given is None:
        return creator.origins
    if not are_within(given, creator.origins):
        raise fault(FaultCode.INVALID, "has an origin that the key of this request does not have", "origins")
    return given
