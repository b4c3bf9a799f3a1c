"""Registered documents in the graph."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

import strawberry

from resolvers import documents
from resolvers.documents import MOST_IN_ACCOUNT, MOST_PER_CALL, SET_LENGTH, Registered
from resolvers.viewer import Scope
from schema.base.connections import After, Before, Connection, First, Last, Node
from schema.base.inputs import values_of
from schema.base.payloads import Payload, mutate, mutate_alone, mutation
from schema.base.scalars import DateTime
from schema.pipeline.context import context_of
from schema.pipeline.reading import read
from schema.pipeline.root_fields import root_field


@strawberry.type(
    description="A GraphQL document that keys with the policy REGISTERED may send. Registration limits which "
    "queries can be sent, not whose data they return. Reading registered documents requires the scope "
    "MANAGE_KEYS."
)
class RegisteredDocument(Node):
    id: strawberry.ID = strawberry.field(description="Id, starting with doc_.")
    document_id: str = strawberry.field(
        description="Id by which clients name the document: `sha256:` and the SHA-256 of the text, or the id "
        "that it was registered with."
    )
    set: str = strawberry.field(description="Set that the document belongs to, for example `portal@1.4.2`.")
    operations: list[str] = strawberry.field(description="Names of the operations in the document.")
    text: str = strawberry.field(description="Text of the document. This field costs 5.")
    max_cost: int = strawberry.field(
        description="The most that a request with this document can cost. Page sizes in variables count as "
        "100."
    )
    registered_at: DateTime = strawberry.field(description="When the document was added to the set.")
    last_used_at: DateTime | None = strawberry.field(
        description="When a request last named the document by its id, or a key with the policy REGISTERED "
        "last sent its text. Can be up to 10 seconds late. Null if the document was never used."
    )


@strawberry.input(description="A document to register.")
class DocumentInput:
    text: str = strawberry.field(description="Text of the document, exactly as clients send it.")
    document_id: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="Id by which clients name the document, at most 128 characters. An id of 64 digits 0-9 "
        "and a-f, with or without the prefix `sha256:`, must be the SHA-256 of the text. Any other id has "
        "the form `x-…:…`, or consists of letters, digits and `.` `_` `~` `-`. Once registered, it always "
        "stands for the same text. The default is the SHA-256.",
    )


@strawberry.input(description="Documents to add to a set.")
class RegisterDocumentsInput:
    set: str = strawberry.field(
        description=f"Name of the set: 1 to {SET_LENGTH} letters, digits and `.` `_` `@` `/` `-`. For "
        "example, `portal@1.4.2`."
    )
    documents: list[DocumentInput] = strawberry.field(
        description=f"The documents, at most {MOST_PER_CALL:,} in one call."
    )


@strawberry.input(description="The set of documents to delete.")
class DeleteDocumentSetInput:
    set: str = strawberry.field(description="Name of the set.")


@strawberry.type(description="Result of registerDocuments.")
class RegisterDocumentsPayload(Payload):
    added: int = strawberry.field(
        default=0, description="Number of documents that were not in the set before."
    )
    document_ids: strawberry.Private[list[str] | None] = None

    @classmethod
    def of(cls, outcome: Registered) -> Self:
        return cls(added=outcome.added, document_ids=list(outcome.ids))

    @strawberry.field(description="The documents, in the order of the input. Null if there are userErrors.")
    async def documents(self, info: strawberry.Info) -> list[RegisteredDocument] | None:
        if self.document_ids is None:
            return None
        return await read(info, documents.documents_with, self.document_ids)


@strawberry.type(description="Result of deleteDocumentSet.")
class DeleteDocumentSetPayload(Payload):
    deleted_document_count: int = strawberry.field(
        default=0, description="Number of documents that the set had."
    )

    @classmethod
    def of(cls, outcome: int) -> Self:
        return cls(deleted_document_count=outcome)


def _count(arguments: Mapping[str, Any]) -> int:
    return len(arguments["input"]["documents"])


@strawberry.type
class DocumentQueries:
    @strawberry.field(
        description="Registered documents of the account, newest first. Requires the scope MANAGE_KEYS."
    )
    async def registered_documents(
        self,
        info: strawberry.Info,
        set: Annotated[
            str | None,
            strawberry.argument("Return only documents of this set. By default, all are returned."),
        ] = strawberry.UNSET,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
    ) -> Connection[RegisteredDocument]:
        return await read(info, documents.all_documents)


@strawberry.type
class DocumentMutations:
    @mutation(
        metadata=root_field(count=_count, most=MOST_PER_CALL),
        description="Add documents to a set: all of them, or none if any is invalid. Every text is checked "
        "against the schema and the limits. Documents that are in the set already stay as they are. An id "
        f"always stands for the same text. An account has at most {MOST_IN_ACCOUNT:,} documents. Costs 1 "
        "more for each document. Requires the scope MANAGE_KEYS.",
    )
    async def register_documents(
        self,
        info: strawberry.Info,
        input: Annotated[RegisterDocumentsInput, strawberry.argument("The set and its documents.")],
    ) -> RegisterDocumentsPayload | None:
        values = {"set": input.set, "documents": [values_of(each) for each in input.documents]}
        check_text = context_of(info).documents.check
        return await mutate_alone(
            info,
            RegisterDocumentsPayload,
            documents.register_documents,
            check_text,
            values,
            scope=Scope.MANAGE_KEYS,
        )

    @mutation(
        description="Delete a set of documents. Within a second, a key with the policy REGISTERED can no "
        "longer send these documents, except those that another of its sets has. Requires the scope "
        "MANAGE_KEYS."
    )
    async def delete_document_set(
        self,
        info: strawberry.Info,
        input: Annotated[DeleteDocumentSetInput, strawberry.argument("The set to delete.")],
    ) -> DeleteDocumentSetPayload | None:
        return await mutate(
            info,
            DeleteDocumentSetPayload,
            documents.delete_document_set,
            values_of(input),
            scope=Scope.MANAGE_KEYS,
        )
