"""`openapi`: print the OpenAPI document of the REST API."""

import json

from rest.openapi import document
from settings import read_settings


def openapi() -> str:
    """Print the OpenAPI document of the REST API.

    The URL of the server in the document is LICENSEGRAPH_PATH_PREFIX, or / if there is no prefix.
    """
    return json.dumps(document(read_settings().path_prefix), indent=2, ensure_ascii=False)
