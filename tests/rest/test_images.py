"""Events show a row as REST does."""

from typing import Any

import pytest

from db.reads import NOUNS
from rest.apps import App
from rest.customers import Customer
from rest.envelopes import Answer, fields_of
from rest.features import Feature
from rest.keys import ApiKey
from rest.licenses import License
from rest.tiers import Tier


@pytest.mark.parametrize(
    ("resource", "left_out", "added"),
    [
        (App, set(), set()),
        (Customer, set(), set()),
        (License, {"token"}, {"revoked_reason"}),
        (Tier, set(), {"duration_days", "trial"}),  # the tiers of REST keep their keys
        (Feature, set(), set()),
        # When a key was last used is no change.
        (ApiKey, {"last_used_at"}, {"document_sets"}),
    ],
)
def test_an_event_has_the_fields_of_the_resource(
    resource: type[Answer], left_out: set[str], added: set[str]
) -> None:
    shown: dict[str, Any] = {field.key: field.name for field in fields_of(resource)}

    image = dict(NOUNS[resource.__name__].image)

    assert image.keys() == (shown.keys() - left_out) | added
    assert {key: image[key].removesuffix("_or_null") for key in shown if key in image} == {
        key: name for key, name in shown.items() if key in image
    }
