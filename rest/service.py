"""The service itself: its health and the OpenAPI document."""

from typing import Literal

from pydantic import ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import Response

from rest import envelopes
from rest.envelopes import Answer, JsonResponse
from rest.operations import Call, operation

VERSION = "0.1.0"


class Health(Answer):
    """Health of the service and its database."""

    status: Literal["ok"] = Field(
        description="Always `ok`. If the database cannot be read, the response is an error."
    )
    version: str = Field(description="Version of the server.")
    writes: Literal["refused"] | SkipJsonSchema[None] = Field(
        None, description="Only present while the database refuses writes."
    )


class HealthAnswer(Answer):
    """The service is healthy."""

    data: Health = Field(description="Health of the service.")


class Document(Answer):
    """An OpenAPI 3.1 document."""

    model_config = ConfigDict(extra="allow")

    openapi: str = Field(description="Version of the OpenAPI specification.")


@operation("GET", "/api/health", public=True, any_origin=True, cost=0, answers={200: HealthAnswer})
async def get_health(call: Call) -> Response:
    """Check the health of the service and its database. No key is needed."""
    writes = None if await call.database.takes_writes() else "refused"
    health = Health(status="ok", version=VERSION, writes=writes)
    return envelopes.unversioned(health.model_dump_json(exclude_none=True))


@operation("GET", "/api/openapi.json", public=True, any_origin=True, cost=0, answers={200: Document})
async def get_openapi(call: Call) -> Response:
    """Get this OpenAPI document. No key is needed."""
    return JsonResponse(call.services.document)
