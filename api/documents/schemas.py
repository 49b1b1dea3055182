"""Response models of the document routes."""

from datetime import datetime
from typing import Final

from pydantic import Field

from api.schemas import CASE_PATH, Answer, Example, Page, shown
from autos.contracts.reasons import Doubt, Reason
from autos.contracts.states import DocumentState
from autos.document_metadata import EXAMPLE, DocumentFacts

_SHA256: Final = "8076b04d7fd503ad61246c92199ecbdce19234532fb3b021e2a210aa690d4cab"

STORED_DOCUMENT: Final[Example] = EXAMPLE | {
    "uuid": "a4aeca72-47c4-572f-b300-ec7471126093",
    "name": "Petição Inicial.pdf",
    "status": "available",
    "size": 224385,
    "mime_type": "application/pdf",
    "sha256": _SHA256,
    "download_url": f"https://s3.example.org/autos/processes/99900028620248260100/{_SHA256}"
    "?X-Amz-Expires=3900&X-Amz-Signature=…",
    "reason": None,
    "error_message": None,
    "doubt": None,
    "doubt_message": None,
    "attempts": 1,
    "download_started_at": "2026-01-15T13:00:01.100000Z",
    "download_completed_at": "2026-01-15T13:00:01.210000Z",
}


FAILED_DOCUMENT: Final[Example] = EXAMPLE | {
    "id": "7b1c22f0-2a41-4c55-9f3e-5f0b1a7c9d02",
    "uuid": "1de90508-1783-524b-8307-a4152050afa8",
    "name": "Documento sigiloso.pdf",
    "status": "failed",
    "size": 30000,
    "mime_type": "application/pdf",
    "sha256": None,
    "download_url": None,
    "reason": "secret",
    "error_message": "The court keeps this document secret; the credential in use may not read it.",
    "doubt": None,
    "doubt_message": None,
    "origin_id": "300000002",
    "sequence": 2,
    "kind": "Petição",
    "kind_code": 57,
    "secrecy": "SIGILO_MINIMO",
    "filed_at": "2024-01-11T02:08:52Z",
    "source_order": 171,
    "attempts": 1,
    "download_started_at": "2026-01-15T13:00:02.000000Z",
    "download_completed_at": "2026-01-15T13:00:02.080000Z",
}


class DocumentStatus(Answer, DocumentFacts):
    """A document in a status."""

    uuid: str = Field(description="The document's id at the source")
    name: str | None
    status: DocumentState
    size: int | None
    mime_type: str | None
    sha256: str | None
    download_url: str | None = Field(
        description="Valid for an hour; each response has a new one. For a failed document, the "
        "version stored before, if there is one"
    )
    reason: Reason | None = Field(description="Why it failed, or why it is being retried")
    error_message: str | None
    doubt: Doubt | None = Field(
        None,
        description="Why the stored file may not be the one the source means; `retry-failed` "
        "requests it again",
    )
    doubt_message: str | None = None
    attempts: int
    download_started_at: datetime | None
    download_completed_at: datetime | None


DOCUMENT: Final[Example] = STORED_DOCUMENT | {
    "position": 172,
    "first_seen_at": "2026-01-15T13:00:00.700000Z",
    "vanished_at": None,
    "content_url": f"{CASE_PATH}/documents/{EXAMPLE['id']}/content",
}


class Document(DocumentStatus):
    """A document with its metadata."""

    model_config = shown(DOCUMENT)

    position: int = Field(description="Place in this list; assigned once, never changed")
    first_seen_at: datetime
    vanished_at: datetime | None = Field(description="When the source stopped listing it")
    content_url: str = Field(description="Redirects to a new download link")


class DocumentPage(Page):
    """A page of documents."""

    items: list[Document]
