"""Events at /api/v1: the record of what happened, as a feed."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema, field_validator
from starlette.responses import Response

from db.events import ActorKind, EventType
from resolvers import apps, events, paging
from resolvers.events import OfSubject
from resolvers.inputs import Input, invalid
from resolvers.viewer import Scope
from rest import envelopes
from rest.apps import APP, found_in_app, require_app
from rest.envelopes import BASE, Answer, Shows, objects_of
from rest.operations import Call, operation
from rest.paging import cost_of_page, positive

EVENTS = f"{BASE}/events"

SubjectWord = Literal["app", "customer", "license", "tier", "feature", "api_key", "document_set"]


class Subject(Answer):
    """The type and the id of an object that changed."""

    type: SubjectWord = Field(description="Type of the object. More types may be added.")
    id: str = Field(description="Id of the object.")


class Actor(Answer):
    """Who made a change."""

    kind: Annotated[ActorKind, Shows("kind_word")] = Field(
        description="An API key, the holder of a license's token, a command, or the server itself."
    )
    id: str | None = Field(
        description="Id of the API key, jti of the token, or name of the command. Null for the server itself."
    )
    name: str | None = Field(
        description="Current name of the API key. Null if the key has no name or is deleted, and for other "
        "actors."
    )


class Event(Answer):
    """A change that was made, or something else that happened."""

    id: str = Field(description="Id, starting with evt_.")
    type: Annotated[EventType, Shows("type_word")] = Field(
        description="What happened. More types may be added."
    )
    created_at: datetime = Field(description="When it happened.")
    app: Annotated[str | None, Shows("app_slug")] = Field(
        description="Slug of the app, even if the app is deleted. Null for objects that belong to no app, "
        "such as API keys."
    )
    subject: Subject = Field(description="The object that changed.")
    version: int = Field(
        description="Version of the object after the change. The versions of an object are 1, 2, 3 and so on."
    )
    actor: Actor = Field(description="Who made the change.")
    request_id: str | None = Field(
        description="Id of the request that made the change (`X-Request-Id`). Null if there was no request."
    )
    caused_by: Annotated[str | None, Shows("caused_by_id")] = Field(
        description="Id of the event that caused this one: for example, the deletion of a license's customer."
    )
    data: dict[str, Any] = Field(
        description="The object after the change, or before its deletion, as this API shows it. It has no "
        "tokens or keys."
    )
    changes: dict[str, Any] = Field(
        description="Fields that changed, each with its value before (`from`) and after (`to`). {} for "
        "creations and deletions."
    )


class FeedMeta(Answer):
    """The place where a feed continues."""

    next: str = Field(
        description="Value of `after` that returns the events after the newest one in `data`. Store it to "
        "continue later."
    )
    has_more: bool = Field(description="Whether there are such events already.")


class EventFeed(Answer):
    """A part of the feed of events."""

    data: list[Event] = Field(
        description="Events. With `after`, the oldest comes first; without it, the newest."
    )
    meta: FeedMeta = Field(description="Where the feed continues.")


_TYPES = {"type": "array", "items": {"type": "string", "enum": list(EventType)}}


def _type(word: str) -> EventType:
    try:
        return EventType(word)
    except ValueError:
        raise invalid("must be a type of event, such as license.revoked") from None


class EventsQuery(Input):
    """Selects events that meet all given conditions. An empty parameter is ignored."""

    type: Annotated[list[EventType], WithJsonSchema(_TYPES)] = Field(
        [], description="What happened. Can be sent several times."
    )
    subject_id: OfSubject = ""
    after: str = Field(
        "",
        description="Returns the events after this one, oldest first: `next` of the previous response, the "
        "id of any event, a cursor from GraphQL such as `changesCursor`, or `start` for all events that are "
        "kept. Without it, the newest events are returned, newest first.",
    )
    limit: int = Field(
        paging.DEFAULT_SIZE,
        description="Largest number of events to return.",
        json_schema_extra={"minimum": 1, "maximum": paging.MAX_SIZE},
    )

    @field_validator("type", mode="before")
    @classmethod
    def _types(cls, words: list[str]) -> list[EventType]:
        return [_type(word) for word in words if word]

    @field_validator("limit", mode="before")
    @classmethod
    def _limit(cls, text: str) -> int:
        number = positive(text) if text else paging.DEFAULT_SIZE
        if number > paging.MAX_SIZE:
            raise invalid(f"must be at most {paging.MAX_SIZE}")
        return number


_FIELDS = objects_of(Event)


@operation("GET", EVENTS, scope=Scope.READ_EVENTS, query=EventsQuery, cost=None, answers={200: EventFeed})
async def list_events(call: Call) -> Response:
    """Follow what happens in the account. Returns events in the order in which they were recorded.

    Store `next`, and send it as `after`: each event is returned exactly once. An event is in the feed as soon
    as it has a place in it, usually within 100 ms of the change. A key that is limited to some apps only gets
    their events. A key without `read_customers` gets no events about customers.
    """
    return await _feed(call, in_app=False)


@operation(
    "GET",
    f"{APP}/events",
    scope=Scope.READ_EVENTS,
    reads=Scope.READ,
    query=EventsQuery,
    check_first=require_app,
    cost=None,
    answers={200: EventFeed},
)
async def list_app_events(call: Call) -> Response:
    """Follow what happens in an app. Like the feed of the account, with the events of one app only."""
    return await _feed(call, in_app=True)


async def _feed(call: Call, *, in_app: bool) -> Response:
    query = call.checked(EventsQuery, {**call.query, "type": call.all_of("type")})
    filters = (("types", query.type), ("subject_id", query.subject_id))
    async with call.database.read() as session:
        after = None
        if query.after:
            after = query.after, await events.place_of(call.viewer, session, query.after)
        selected = events.feed(query.limit, after, filters, _FIELDS, in_app=in_app)
        call.spend(cost_of_page(selected))
        if not in_app:
            return envelopes.page(await events.all_events(call.viewer, session, selected))
        found = await apps.field_of_app(call.viewer, session, call.path["slug"], selected)
    return envelopes.page(found_in_app("page", *found))
