"""The search across apps in the graph."""

from enum import Enum
from typing import Annotated

import strawberry

from resolvers import reading
from resolvers.search import DEFAULT_HITS, MAX_HITS, MAX_LENGTH, MAX_WORDS
from schema.base.connections import answered_by_root
from schema.customers import Customer
from schema.licenses import License
from schema.pipeline.reading import read


@strawberry.enum(description="What the text of a search matched.")
class SearchField(Enum):
    EMAIL = strawberry.enum_value("EMAIL", description="The customer's email, or a part of it.")
    NAME = strawberry.enum_value(
        "NAME", description="The customer's name, or a part of it. Other words may be in the email."
    )
    EXTERNAL_ID = strawberry.enum_value("EXTERNAL_ID", description="The customer's external id.")
    CUSTOMER_ID = strawberry.enum_value("CUSTOMER_ID", description="The customer's id.")
    LICENSE_ID = strawberry.enum_value("LICENSE_ID", description="The license's id.")
    INSTALLATION_ID = strawberry.enum_value(
        "INSTALLATION_ID", description="The license's installation, in any form of a UUID."
    )
    JTI = strawberry.enum_value(
        "JTI", description="The id of a token of the license: the current token, or a superseded one."
    )
    TOKEN = strawberry.enum_value(
        "TOKEN",
        description="A token of the license, even if it is superseded or expired. It is not verified.",
    )


@strawberry.type(description="A customer that a search found, with the license if the text names one.")
class SearchHit:
    field: SearchField = strawberry.field(description="What the text matched.")

    @strawberry.field(description="The customer.")
    def customer(self) -> Customer:
        return answered_by_root()

    @strawberry.field(
        description="The license that the text names. Null if the text only names the customer."
    )
    def license(self) -> License | None:
        return answered_by_root()


@strawberry.type
class SearchQueries:
    @strawberry.field(
        description="Find customers and licenses by anything that identifies them: an email, a name, an "
        "external id, a customer or license id, an installation id, a jti, or a whole token. Whitespace and "
        "invisible characters around these are ignored, and so is case, except in external ids. "
        "`Name <email>` is split into its parts. Several words are each searched for.\n\n"
        "Exact matches come first: tokens, ids, then emails. Then come emails and names that begin with the "
        "text, then those that contain all words, then those that contain any word, sorted alphabetically. "
        "Licenses of an installation come newest first. Requires the scope READ_CUSTOMERS."
    )
    async def search(
        self,
        info: strawberry.Info,
        text: Annotated[
            str,
            strawberry.argument(
                f"What to look for: at most {MAX_LENGTH:,} characters and {MAX_WORDS} words, besides ids and "
                "tokens. An empty text finds nothing."
            ),
        ],
        app_slug: Annotated[
            str | None, strawberry.argument("Slug of the only app to search. All apps by default.")
        ] = strawberry.UNSET,
        first: Annotated[
            int, strawberry.argument(f"Return at most this many hits, 1 to {MAX_HITS}.")
        ] = DEFAULT_HITS,
    ) -> list[SearchHit]:
        return await read(info, reading.hits)
