"""`openapi`: print the OpenAPI document of the REST interface."""

import json

from rest.openapi import document


def openapi() -> str:
    """Print the OpenAPI document of the REST interface, as rest/openapi.json holds it."""
    return json.dumps(document(), indent=2, ensure_ascii=False)
