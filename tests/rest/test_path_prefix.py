"""The path prefix: every address in a response starts with the prefix."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from tests.keyrings import SETTINGS
from tests.rest.conftest import CUSTOMERS, FEATURES, LICENSES, TIERS, Offer

PREFIX = "/tools/licenses"


@pytest.fixture
def settings() -> Mapping[str, Any]:
    return {**SETTINGS, "path_prefix": PREFIX}


@pytest.mark.parametrize(
    "asked_at", [f"http://testserver{PREFIX}", "http://testserver"], ids=["kept", "stripped"]
)
async def test_a_location_has_the_prefix_even_if_the_proxy_strips_it(
    api: httpx.AsyncClient, offer: Offer, asked_at: str
) -> None:
    bodies: dict[str, Any] = {
        "/apps": {"name": "Zephyr", "slug": "zephyr", "signing_algorithm": "EdDSA"},
        CUSTOMERS: {"email": "joe@example.com"},
        f"{CUSTOMERS}/get-or-create": {"email": "ada@example.com"},
        TIERS: {"name": "Solo", "slug": "solo"},
        FEATURES: {"name": "Print", "slug": "print"},
        LICENSES: offer.body,
    }
    for path, body in bodies.items():
        made = await api.post(f"{asked_at}/api/v1{path}", json=body)

        assert made.status_code == 201, made.text
        location = made.headers["location"]
        assert location.startswith(f"{PREFIX}/api/v1/apps/"), path
        assert (await api.get(f"http://testserver{location}")).json() == made.json()


@pytest.mark.parametrize("path", ["/api/openapi.json", f"{PREFIX}/api/openapi.json"])
async def test_the_document_names_the_server_with_the_prefix(client: httpx.AsyncClient, path: str) -> None:
    described = (await client.get(path)).json()

    (server,) = described["servers"]
    assert server["url"] == PREFIX
    health = next(each for each in described["paths"] if each.endswith("/health"))
    assert (await client.get(f"{server['url']}{health}")).status_code == 200
