"""Execute: graphql-core runs the operation, but does not complete values that are already finished.

The resolver of a planned field returns `Finished`, which has the values of everything selected below the
field, usually as the database's JSON. graphql-core would complete that value field by field in
`complete_value`, so `Executor` overrides this method. The minor version of graphql-core is pinned, and a test
fails if the method is no longer called.
"""

from dataclasses import dataclass
from typing import Any

from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext


@dataclass(frozen=True, slots=True)
class Finished:
    """A value that needs no completion. orjson writes it into the response unchanged."""

    value: Any


class Executor(StrawberryGraphQLCoreExecutionContext):
    """Executes an operation, and uses finished values unchanged."""

    def release(self) -> None:
        """Drop the executor's references to itself. Call this when the operation is finished.

        Parts of graphql-core's executor refer back to the executor. Only the garbage collector would find
        this cycle, which includes the whole document. Without the cycle, the executor and the document are
        freed immediately.
        """
        self.async_helpers = None  # type: ignore[assignment]

    def complete_value(  # type: ignore[no-untyped-def]
        self, return_type, field_details_list, info, path, result, position_context
    ) -> Any:
        if type(result) is Finished:
            return result.value
        return super().complete_value(return_type, field_details_list, info, path, result, position_context)
