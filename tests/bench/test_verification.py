"""The comparison of a verification with a read of a customer."""

from bench import datasets
from bench.datasets import Size
from bench.verification import costs


async def test_all_verifications_are_answered(unmigrated_url: str) -> None:
    """The measurement raises the limits: by default, an address can verify 100 times a minute."""
    data = await datasets.load(unmigrated_url, Size(20, 3, 2, 1))
    await datasets.take_over(unmigrated_url)

    found = await costs(unmigrated_url, data, 21)  # 21 requests of each kind in each of five rounds

    assert list(found) == ["REST verify", "REST customer", "GraphQL verify", "GraphQL customer"]
