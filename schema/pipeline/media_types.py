"""Selects one of the two media types of GraphQL over HTTP for a response.

The GraphQL-over-HTTP draft: https://graphql.github.io/graphql-over-http/draft/
"""

from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple


class MediaType(StrEnum):
    """A media type of responses.

    If a document or its variables are refused, RESPONSE uses status 400, and JSON uses 200.
    """

    RESPONSE = "application/graphql-response+json"
    JSON = "application/json"


class _Range(NamedTuple):
    """A media range in an Accept header: its precision, its quality, and its negated index."""

    precision: int
    quality: float
    place: int


_PRECISIONS = {"*/*": 0, "application/*": 1}


@lru_cache(256)
def negotiated(accept: str | None) -> MediaType | None:
    """Return the best media type for an Accept header, or None if the header accepts neither.

    For each media type, the most precise range counts: `application/json;q=0, */*` does not accept JSON.
    Without a header, or if only a wildcard matches, the result is application/json, for older clients.
    """
    if accept is None or not accept.strip():
        return MediaType.JSON
    entries = [entry.partition(";") for entry in accept.split(",")]
    ranges = [(name.strip().lower(), parameters) for name, _, parameters in entries]
    found = {}
    for media_type in (MediaType.JSON, MediaType.RESPONSE):
        fitting = [
            _Range(_PRECISIONS.get(name, 2), _quality(parameters), -place)
            for place, (name, parameters) in enumerate(ranges)
            if name in {media_type.value, *_PRECISIONS}
        ]
        best = max(fitting, default=None)
        if best is not None and best.quality > 0:
            found[media_type] = best.quality, best.precision, best.place
    return max(found, key=found.__getitem__, default=None)


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return quality if 0 <= quality <= 1 else 0.0
    return 1.0
