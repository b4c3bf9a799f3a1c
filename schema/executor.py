"""The executor: graphql-core's own, but for one thing. It does not walk into an answer that is finished.

A root field's resolver answers `Finished`, which holds JSON the database made for all that was selected
below. `complete_value` is the place where graphql-core would begin to walk; the minor version of
graphql-core is pinned, and a test fails if the hook is not called any more.
"""

from dataclasses import dataclass
from typing import Any

from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext


@dataclass(frozen=True, slots=True)
class Finished:
    """An answer that needs no completion: what orjson writes into the response as it is."""

    value: Any


class SplicingExecutor(StrawberryGraphQLCoreExecutionContext):
    """Executes a document, taking finished answers as they are."""

    def let_go(self) -> None:
        """Know no more of oneself, when nothing is left to execute.

        graphql-core's executor has helpers that know it. Only the garbage collector finds such a circle, and
        with it the document; without it both are gone at once.
        """
        self.async_helpers = None  # type: ignore[assignment]

    def complete_value(  # type: ignore[no-untyped-def]
        self, return_type, field_details_list, info, path, result, position_context
    ) -> Any:
        if type(result) is Finished:
            return result.value
        return super().complete_value(return_type, field_details_list, info, path, result, position_context)
