"""What a webhook's body says: `{type, timestamp, data}` (Standard Webhooks), full or thin.

Members are only ever added. No name of a party or of a document is in it: documents are known by
ids, and a link gives a file the name of its place in the case. These models are the published
schema (`docs/reference/webhook-schemas/`, OpenAPI's `webhooks`).
"""

import uuid
from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from autos.contracts.states import DocumentState, Doubt, JobStatus, Reason

LONGEST_LIST: Final = 1_000
"""Documents a full payload lists; a longer case's are read from the manifest or the API."""

EventType = Literal[
    "process.download.completed",
    "process.download.completed_with_failures",
    "process.download.failed",
    "process.download.cancelled",
]
_EXAMPLE_TIME: Final = "2026-11-24T03:45:01.120000Z"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class EventDocument(_Part):
    """One document, as it stands when the attempt is made."""

    id: uuid.UUID
    uuid: str = Field(description="The document's id at the source")
    origin_id: str | None = Field(description="Its id in the court's own system, as it is cited")
    position: int = Field(description="Its place in the process, from 0; never changes")
    source_order: int | None = Field(
        description="Its place in the source's list when that was last read, from 0"
    )
    sequence: int | None = Field(description="Its number in its instance")
    kind: str | None = Field(description="The kind of document in the source's own words")
    kind_code: int | None = Field(description="The kind in the national table (TPU), where given")
    instance: str | None = Field(description="Such as `G1`")
    secrecy: str | None = Field(description="In the source's words, such as `PUBLICO`")
    filed_at: datetime | None = Field(description="When it was joined to the case")
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
        description="Why what is stored may not be what the source means it to be"
    )
    doubt_message: str | None


class Ending(_Part):
    """How a job ended: what full and thin payloads have in common."""

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


class ThinData(Ending):
    """Ids, numbers and links to this API; nothing that opens a document by itself."""

    payload: Literal["thin"] = "thin"
    manifest_url: str = Field(description="At this API")


class FullData(Ending):
    """Everything, with links that open the documents."""

    payload: Literal["full"] = "full"
    manifest_url: str = Field(description="Opens the manifest for an hour; made for this attempt")
    documents: list[EventDocument] | None = Field(
        description="By position; null for a case of more than 1,000, whose documents "
        "are in the manifest and at `documents_url`"
    )


class _Event(_Part):
    timestamp: datetime = Field(
        description="When the job ended; the same over attempts and replays",
        examples=[_EXAMPLE_TIME],
    )


class FullEvent(_Event):
    """A job has ended; told to a subscription with `payload=full`."""

    type: EventType
    data: FullData


class ThinEvent(_Event):
    """A job has ended; told to a subscription with `payload=thin`."""

    type: EventType
    data: ThinData


class TestData(_Part):
    """Nothing but a word for the person who tests."""

    __test__ = False

    test: Literal[True] = True
    message: str = "This is a test. If its signature is right, the real ones will be, too."


class TestEvent(_Event):
    """Sent by `webhook-send-test`, on demand only."""

    __test__ = False

    type: Literal["webhook.test"] = "webhook.test"
    data: TestData = Field(default_factory=TestData)


Event = FullEvent | ThinEvent | TestEvent


def encode(event: Event) -> str:
    """The body of the request: JSON without needless white space."""
    return event.model_dump_json()
