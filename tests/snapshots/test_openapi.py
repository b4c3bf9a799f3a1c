"""The published REST API: the committed OpenAPI document."""

import json
from pathlib import Path

from rest.openapi import document

_SNAPSHOT = Path("rest/openapi.json")


def test_committed_document_is_that_of_the_code() -> None:
    written = json.dumps(document(), indent=2, ensure_ascii=False) + "\n"

    assert _SNAPSHOT.read_text() == written, "run `make snapshots` and review the difference"
