"""Events in the graph: the record of what happened."""

from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from db.events import EventType as Word
from resolvers import events, snapshots
from resolvers.events import EventFilters
from schema.base.connections import (
    After,
    Before,
    Connection,
    First,
    Last,
    Node,
    OrderDirection,
    answered_by_root,
)
from schema.base.inputs import input_of
from schema.base.scalars import DateTime, JSONObject
from schema.pipeline.context import context_of
from schema.pipeline.reading import finished, read

if TYPE_CHECKING:
    from schema.apps import App


def version_field() -> Any:
    """Return the field `version` of a type whose changes are events."""
    return strawberry.field(
        description="Number of the last change, starting at 1. Each change is an event with this version."
    )


def changes_cursor_field() -> Any:
    """Return the field `changesCursor`: where to continue after a response."""
    return strawberry.field(
        description="Cursor of the last position in the log, read together with the other fields. The events "
        "of everything that this response does not show yet come after it. To read them, send it as `after` "
        "with orderBy: {field: POSITION}."
    )


@strawberry.enum(description="Who made a change.")
class ActorKind(Enum):
    KEY = strawberry.enum_value("key", description="A request with an API key.")
    TOKEN = strawberry.enum_value("token", description="The holder of a license's token.")
    COMMAND = strawberry.enum_value("command", description="A command on the server's command line.")
    SYSTEM = strawberry.enum_value("system", description="The server itself, for example when a term ends.")


@strawberry.type(description="Who made a change.")
class Actor:
    kind: ActorKind = strawberry.field(description="What kind of actor this is.")
    id: strawberry.ID | None = strawberry.field(
        description="Id of the API key, jti of the token, or name of the command. Null for the server itself."
    )
    name: str | None = strawberry.field(
        description="Current name of the API key. Null if the key has no name or is deleted, and for other "
        "actors."
    )
    last4: str | None = strawberry.field(
        description="Last four characters of the API key's current token. Null if the key is deleted, and "
        "for other actors."
    )


@strawberry.enum(description="What an event is about. More values may be added.")
class SubjectType(Enum):
    APP = strawberry.enum_value("app", description="An app.")
    CUSTOMER = strawberry.enum_value("customer", description="A customer.")
    LICENSE = strawberry.enum_value("license", description="A license.")
    TIER = strawberry.enum_value("tier", description="A tier.")
    FEATURE = strawberry.enum_value("feature", description="A feature.")
    API_KEY = strawberry.enum_value("api_key", description="An API key, or a customer session.")
    DOCUMENT_SET = strawberry.enum_value("document_set", description="A set of registered documents.")


def _value(word: Word, description: str) -> Any:
    return strawberry.enum_value(word.value, description=description)


@strawberry.enum(
    description="What happened. More values may be added. REST writes LICENSE_REVOKED as license.revoked."
)
class EventType(Enum):
    APP_CREATED = _value(Word.APP_CREATED, "An app was created.")
    APP_UPDATED = _value(Word.APP_UPDATED, "An app was changed.")
    APP_DELETED = _value(
        Word.APP_DELETED,
        "An app was deleted with everything in it. The event's data has customer_count and license_count.",
    )
    APP_KEYS_ROTATED = _value(
        Word.APP_KEYS_ROTATED, "An app's signing keys were rotated. The event's data has licenses_resigned."
    )
    CUSTOMER_CREATED = _value(Word.CUSTOMER_CREATED, "A customer was created.")
    CUSTOMER_UPDATED = _value(Word.CUSTOMER_UPDATED, "A customer was changed.")
    CUSTOMER_DELETED = _value(
        Word.CUSTOMER_DELETED,
        "A customer was deleted with all their licenses. The event's data has license_count.",
    )
    LICENSE_CREATED = _value(Word.LICENSE_CREATED, "A license was issued.")
    LICENSE_UPDATED = _value(Word.LICENSE_UPDATED, "A license was changed.")
    LICENSE_RENEWED = _value(Word.LICENSE_RENEWED, "A license got a new term.")
    LICENSE_TRANSFERRED = _value(
        Word.LICENSE_TRANSFERRED,
        "A license was given to another customer. The event is in the histories of both customers.",
    )
    LICENSE_REGENERATED = _value(Word.LICENSE_REGENERATED, "A license got a new token.")
    LICENSE_REVOKED = _value(Word.LICENSE_REVOKED, "A license was revoked.")
    LICENSE_REINSTATED = _value(Word.LICENSE_REINSTATED, "A revocation was taken back.")
    LICENSE_DELETED = _value(Word.LICENSE_DELETED, "A license was deleted, by itself or with its customer.")
    LICENSE_EXPIRING = _value(Word.LICENSE_EXPIRING, "A license expires soon.")
    LICENSE_EXPIRED = _value(Word.LICENSE_EXPIRED, "A license has expired.")
    TIER_CREATED = _value(Word.TIER_CREATED, "A tier was created.")
    TIER_UPDATED = _value(Word.TIER_UPDATED, "A tier was changed.")
    TIER_DELETED = _value(Word.TIER_DELETED, "A tier was deleted.")
    FEATURE_CREATED = _value(Word.FEATURE_CREATED, "A feature was created.")
    FEATURE_UPDATED = _value(Word.FEATURE_UPDATED, "A feature was changed.")
    FEATURE_DELETED = _value(Word.FEATURE_DELETED, "A feature was deleted.")
    KEY_CREATED = _value(Word.KEY_CREATED, "An API key was created.")
    KEY_UPDATED = _value(Word.KEY_UPDATED, "An API key was changed.")
    KEY_ROTATED = _value(Word.KEY_ROTATED, "An API key got a new token.")
    KEY_REVOKED = _value(Word.KEY_REVOKED, "An API key was revoked.")
    SESSION_CREATED = _value(Word.SESSION_CREATED, "A customer session was created.")
    DOCUMENTS_REGISTERED = _value(
        Word.DOCUMENTS_REGISTERED, "Documents were added to a set of registered documents."
    )
    DOCUMENTS_DELETED = _value(Word.DOCUMENTS_DELETED, "A set of registered documents was deleted.")


@strawberry.type(
    description="A change that was made, or something else that happened. It is stored together with the "
    "change. Reading events requires the scope READ_EVENTS. Events about customers also require "
    "READ_CUSTOMERS: without it, they are left out."
)
class Event(Node):
    id: strawberry.ID = strawberry.field(description="Id, starting with evt_.")
    type: EventType = strawberry.field(description="What happened.")
    created_at: DateTime = strawberry.field(description="When it happened.")
    subject_type: SubjectType = strawberry.field(description="Type of the object that changed.")
    subject_id: strawberry.ID = strawberry.field(
        description="Id of the object that changed. `node` finds the object if it still exists."
    )
    version: int = strawberry.field(
        description="Version of the object after the change. The versions of an object are 1, 2, 3 and so on."
    )

    @strawberry.field(
        description="The app that the object belongs to, or is. Null if the app is deleted, and for objects "
        "that belong to no app, such as API keys."
    )
    def app(self) -> Annotated["App", strawberry.lazy("schema.apps")] | None:
        return answered_by_root()

    @strawberry.field(description="Who made the change.")
    def actor(self) -> Actor:
        return answered_by_root()

    request_id: str | None = strawberry.field(
        description="Id of the request that made the change (`X-Request-Id`). Null if there was no request."
    )

    @strawberry.field(
        description="The event that caused this one. For example, the deletion of a customer causes the "
        "deletion of the customer's licenses. Null if there is none, or if it cannot be seen."
    )
    def caused_by(self) -> Annotated["Event", strawberry.lazy("schema.events")] | None:
        return answered_by_root()

    data: JSONObject = strawberry.field(
        description="The object after the change, or before its deletion, with the names of its fields in "
        "REST. It has no tokens or keys."
    )
    changes: JSONObject = strawberry.field(
        description='Fields that changed, with their names in REST: {"name": {"from": "A", "to": "B"}}. {} '
        "for creations and deletions."
    )
    erased: bool = strawberry.field(
        description="Whether the customer's personal data was erased from the event."
    )


@input_of(EventFilters)
class EventFilter:
    types: list[EventType] | None
    subject_id: strawberry.ID | None
    actor_id: strawberry.ID | None


@strawberry.enum(description="What events can be sorted by.")
class EventOrderField(Enum):
    POSITION = strawberry.enum_value(
        "position",
        description="Position in the log. The events of a single object are sorted by version, which is the "
        "same order.",
    )


@strawberry.input(description="How to sort events.")
class EventOrder:
    field: EventOrderField = strawberry.field(description="Value to sort by. No two events have the same.")
    direction: OrderDirection = strawberry.field(
        default=OrderDirection.ASC, description="Ascending: oldest first. Descending: newest first."
    )


EventFilterArgument = Annotated[
    EventFilter | None,
    strawberry.argument(description="Return only matching events. By default, all are returned."),
]
EventOrderArgument = Annotated[
    EventOrder | None, strawberry.argument(description="Sort order. Newest first by default.")
]


@strawberry.type
class EventQueries:
    @strawberry.field(
        description="Everything that happened in the account. A key that is limited to some apps only sees "
        "their events. A new event is listed as soon as it has a position in the log, usually within 100 ms. "
        "Requires the scope READ_EVENTS."
    )
    async def events(
        self,
        info: strawberry.Info,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
        filter: EventFilterArgument = strawberry.UNSET,
        order_by: EventOrderArgument = strawberry.UNSET,
    ) -> Connection[Event]:
        return await read(info, events.all_events)


SnapshotTime = Annotated[
    DateTime,
    strawberry.argument(
        description="The time. It must not be before the history begins. In the future, the object is as it "
        "is now."
    ),
]
ABOUT_SNAPSHOT = (
    "The {noun} as it was at the end of this second, with the field names of REST and without tokens. Null "
    "if it did not exist then. Requires READ_EVENTS."
)


@strawberry.type
class SnapshotQueries:
    @strawberry.field(
        description="The object with this id as it was at the end of this second, with the field names of "
        "REST and without tokens. It may be deleted by now. Null if it did not exist then. Requires "
        "READ_EVENTS and the scopes that the object requires."
    )
    async def snapshot(
        self,
        info: strawberry.Info,
        id: Annotated[strawberry.ID, strawberry.argument("Id of the object.")],
        at: SnapshotTime,
    ) -> JSONObject | None:
        context = context_of(info)
        async with context.database.read() as session:
            found = await snapshots.snapshot(context.viewer, session, id, at)
        return finished(found)  # type: ignore[return-value]  # the executor uses JSON unchanged
