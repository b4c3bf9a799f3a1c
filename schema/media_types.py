"""Which of the two media types of GraphQL over HTTP an answer is written in.

The GraphQL-over-HTTP draft: https://graphql.github.io/graphql-over-http/draft/
"""

from enum import StrEnum
from functools import lru_cache


class MediaType(StrEnum):
    """A media type of answers. RESPONSE tells refused requests by HTTP status; JSON answers 200 to them."""

    RESPONSE = "application/graphql-response+json"
    JSON = "application/json"


@lru_cache(256)
def negotiated(accept: str | None) -> MediaType | None:
    """The best media type for an Accept header; None when it takes neither.

    Without a header, or where only a wildcard fits, it is application/json, as clients have always had it.
    """
    if accept is None or not accept.strip():
        return MediaType.JSON
    best: tuple[float, int, int] | None = None
    chosen = None
    for place, entry in enumerate(accept.split(",")):
        name, _, parameters = entry.partition(";")
        media_type, precision = _matching(name.strip().lower())
        quality = _quality(parameters)
        if media_type is None or quality <= 0:
            continue
        rank = (quality, precision, -place)
        if best is None or rank > best:
            best, chosen = rank, media_type
    return chosen


def _matching(name: str) -> tuple[MediaType | None, int]:
    match name:
        case "application/graphql-response+json":
            return MediaType.RESPONSE, 2
        case "application/json":
            return MediaType.JSON, 2
        case "application/*":
            return MediaType.JSON, 1
        case "*/*":
            return MediaType.JSON, 0
        case _:
            return None, 0


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
