"""The events that webhooks carry: `{type, timestamp, data}` (Standard Webhooks), full or thin.

The models are the published schema (`docs/reference/webhook-schemas/`, OpenAPI's `webhooks`).
Members are only ever added. Events contain no name of a party or of a document: documents have ids,
and a link names a file by its place in the case. For a new event: a model here and in `Event`, an
entry in `api/webhooks/openapi.py`, and `python -m tests.unit.webhooks.schemas` to publish its
schema.
"""

from datetime import datetime
from typing import Any, Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from autos.cnj import CaseNumber
from autos.contracts.reasons import Doubt, Reason
from autos.contracts.states import DocumentState, JobStatus
from autos.document_metadata import DocumentFacts, facts_of
from autos.filenames import DEFAULT_TYPE, ending
from autos.records.deliveries import DeliveryContext
from autos.records.models import Document
from autos.store.object_keys import document_key, manifest_key

MAX_DOCUMENTS: Final = 1_000
"""Maximum number of documents in a full payload; larger cases use the manifest or the API."""

EventType = Literal[
    "process.download.completed",
    "process.download.completed_with_failures",
    "process.download.failed",
    "process.download.cancelled",
]
_TYPE_PREFIX: Final = "process.download."
_EXAMPLE_TIME: Final = "2026-11-24T03:45:01.120000Z"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class EventDocument(DocumentFacts):
    """One document, in its state when the attempt is made."""

    uuid: str = Field(description="The document's id at the source")
    position: int = Field(description="Position in the process, from 0; never changes")
    status: DocumentState
    size: int | None = Field(description="Bytes")
    mime_type: str | None
    sha256: str | None
    download_url: str | None = Field(
        description="Opens for an hour, made for this attempt; get another from `content_url`"
    )
    content_url: str = Field(description="At this API; redirects to a link made at that moment")
    reason: Reason | None
    error_message: str | None
    doubt: Doubt | None = Field(
        description="Why the stored file may not be the one that the source means"
    )
    doubt_message: str | None


class JobData(_Model):
    """How a job ended; common to full and thin payloads."""

    process_number: str = Field(examples=["9990002-86.2024.8.26.0100"])
    court: str = Field(examples=["TJSP"])
    job_id: str = Field(examples=["019aa6f2-3c51-7d0e-8a55-0f6f3f0e9a11"])
    status: JobStatus
    reason: Reason | None = Field(description="Why the job as a whole failed")
    error_message: str | None
    total_documents: int
    completed_documents: int
    doubtful_documents: int = Field(description="Of the completed ones, those with a `doubt`")
    failed_documents: int
    bytes_stored: int
    started_at: datetime | None
    completed_at: datetime | None
    status_url: str = Field(description="At this API")
    documents_url: str = Field(description="At this API: the documents, page by page")


class ThinData(JobData):
    """Ids, numbers and links to this API; no link that opens a document without an API key."""

    payload: Literal["thin"] = "thin"
    manifest_url: str = Field(description="At this API")


class FullData(JobData):
    """All data, with links that open the documents."""

    payload: Literal["full"] = "full"
    manifest_url: str = Field(description="Opens the manifest for an hour; made for this attempt")
    documents: list[EventDocument] | None = Field(
        description="By position; null for a case of more than 1,000, whose documents "
        "are in the manifest and at `documents_url`"
    )


class _Event(_Model):
    timestamp: datetime = Field(
        description="When the job ended; the same over attempts and replays",
        examples=[_EXAMPLE_TIME],
    )


class FullEvent(_Event):
    """A job has ended; sent to a subscription with `payload=full`."""

    type: EventType
    data: FullData


class ThinEvent(_Event):
    """A job has ended; sent to a subscription with `payload=thin`."""

    type: EventType
    data: ThinData


class TestData(_Model):
    """A message for the person who tests."""

    __test__ = False

    test: Literal[True] = True
    message: str = "This is a test. If its signature is valid, those of real events will be, too."


class TestEvent(_Event):
    """Sent by `webhook-send-test`, on demand only."""

    __test__ = False

    type: Literal["webhook.test"] = "webhook.test"
    data: TestData = Field(default_factory=TestData)


Event = FullEvent | ThinEvent | TestEvent


class Linker(Protocol):
    """Makes links; implemented by `autos.store.Store`."""

    def link(self, key: str, filename: str, content_type: str) -> str:
        """A URL that opens the object for a while."""
        ...


def encode(event: Event) -> str:
    """Encode an event as the body of a request: compact JSON."""
    return event.model_dump_json()


def compose(context: DeliveryContext, store: Linker, api_url: str) -> FullEvent | ThinEvent:
    """Compose the event of a delivery, with links made for this attempt.

    Counts are those at the end of the job. Documents are in their present state, so that a delivery
    repeated after a later job shows what is available now.

    Args:
        context: the delivery with its job and documents.
        store: makes the links of a full payload.
        api_url: where clients reach this API; empty makes links to it relative.
    """
    number = CaseNumber(context.job.process_number)
    base = f"{api_url.rstrip('/')}/api/v1/processes/{number.digits}"
    envelope: dict[str, Any] = {
        "type": context.delivery.type,
        "timestamp": context.delivery.created_at,
    }
    job = _job_data(context, number, base)
    if context.subscription.payload == "thin":
        return ThinEvent(**envelope, data=ThinData(**job, manifest_url=f"{base}/manifest"))
    return FullEvent(
        **envelope,
        data=FullData(
            **job,
            manifest_url=store.link(
                manifest_key(number.digits), f"{number.masked}-manifest.json", "application/json"
            ),
            documents=None
            if len(context.documents) > MAX_DOCUMENTS
            else [_document(row, number, store, base) for row in context.documents],
        ),
    )


def _job_data(context: DeliveryContext, number: CaseNumber, base: str) -> dict[str, Any]:
    job = context.job
    reason = Reason(job.reason) if job.reason else None
    return {
        "process_number": number.masked,
        "court": number.court,
        "job_id": job.id,
        # The status at the time of the event; the job's row may have changed since.
        "status": JobStatus(context.delivery.type.removeprefix(_TYPE_PREFIX)),
        "reason": reason,
        "error_message": reason.text if reason else None,
        "total_documents": job.total_documents,
        "completed_documents": job.available_documents,
        "doubtful_documents": job.doubtful_documents,
        "failed_documents": job.failed_documents,
        "bytes_stored": job.bytes_stored,
        "started_at": job.started_at,
        "completed_at": job.completed_at,
        "status_url": f"{base}/status",
        "documents_url": f"{base}/documents",
    }


def _document(row: Document, number: CaseNumber, store: Linker, base: str) -> EventDocument:
    link = None
    if row.sha256 is not None:
        content_type = row.content_type or DEFAULT_TYPE
        # The source's file names may contain names of parties.
        filename = f"{number.masked}-{row.position + 1:04}{ending(content_type)}"
        link = store.link(document_key(number.digits, row.sha256), filename, content_type)
    reason = Reason(row.reason) if row.reason else None
    doubt = Doubt(row.doubt) if row.is_available and row.doubt else None
    return EventDocument(
        **facts_of(row),
        uuid=row.source_id,
        position=row.position,
        status=DocumentState(row.state),
        size=row.size if link else row.expected_size,
        mime_type=row.content_type if link else row.declared_type,
        sha256=row.sha256 if link else None,
        download_url=link,
        content_url=f"{base}/documents/{row.id}/content",
        reason=reason,
        error_message=reason.text if reason else None,
        doubt=doubt,
        doubt_message=doubt.text if doubt else None,
    )
