"""What the API takes and answers. Members are only ever added, so clients must ignore new ones."""

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, TypeAdapter

from api import examples
from api.http.inputs import RequestBody, Timestamp, Whole
from autos.contracts.states import DocumentState, Doubt, JobStatus, Reason, WaitReason

_address: TypeAdapter[HttpUrl] = TypeAdapter(HttpUrl)


def _web_address(text: str) -> str:
    _address.validate_python(text)
    if any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError("an address has no white space")
    return text


WebhookUrl = Annotated[
    str,
    Field(max_length=2048, examples=["https://example.org/hooks/autos"]),
    AfterValidator(_web_address),
]
"""Only the shape is checked here: http or https. The text is kept as it was given."""


class Answer(BaseModel):
    """Base of what is answered."""

    model_config = ConfigDict(frozen=True)


def shown(example: examples.Example) -> ConfigDict:
    """What makes a whole answer the example of its schema."""
    return ConfigDict(json_schema_extra={"examples": [example]})


class DownloadRequest(RequestBody):
    """How a process is to be downloaded. All members may be left out."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"webhook_url": "https://example.org/hooks/autos"}]}
    )

    webhook_url: WebhookUrl | None = Field(None, description="Told once when the job has ended")
    payload: Literal["full", "thin"] = Field(
        "full", description="What the webhook carries: everything, or ids and links to this API"
    )
    force_refresh: bool = Field(False, description="Read the metadata again, however fresh")
    max_age: Whole | None = Field(
        None, ge=0, le=31_536_000, description="Seconds a held copy of the metadata is fresh"
    )


class JobStarted(Answer):
    """A job that runs, or that ended while the request waited for it."""

    model_config = shown(examples.JOB_STARTED)

    process_number: str = Field(examples=[examples.NUMBER])
    job_id: str = Field(examples=[examples.JOB_ID])
    status: JobStatus
    status_url: str = Field(examples=["/api/v1/processes/99900028620248260100/status"])


class Counters(Answer):
    """How many documents are where; completed, failed, pending and processing make the total."""

    total_documents: int
    completed_documents: int
    doubtful_documents: int = Field(
        0, description="Of the completed ones: those kept with a doubt, which each document names"
    )
    failed_documents: int
    pending_documents: int
    processing_documents: int
    progress_percentage: float = Field(
        description="(completed + failed) / total; 100 only when all of it has ended"
    )


class DocumentStatus(Answer):
    """One document in a status answer."""

    id: uuid.UUID
    uuid: str = Field(description="The document's id at the source")
    name: str | None
    status: DocumentState
    size: int | None
    mime_type: str | None
    sha256: str | None
    download_url: str | None = Field(
        description="Opens for an hour; ask again for a new one. Of a failed document: the version "
        "held from before, if there is one"
    )
    reason: Reason | None = Field(description="Why it failed, or why it is tried again")
    error_message: str | None
    doubt: Doubt | None = Field(
        None, description="Why what is stored may not be what the source means; retry-failed asks"
    )
    doubt_message: str | None = None
    origin_id: str | None = Field(
        None, description="The id in the court's own system, by which the document is cited"
    )
    sequence: int | None = Field(
        None, description="Its number in its instance; numbers in between may be withheld"
    )
    kind: str | None = Field(None, description="In the source's own words")
    kind_code: int | None = Field(None, description="In the national table (TPU), where given")
    instance: str | None = Field(None, description="Such as `G1`")
    secrecy: str | None = Field(None, description="In the source's words, such as `PUBLICO`")
    filed_at: datetime | None = Field(None, description="When it was joined to the case")
    source_order: int | None = Field(
        None, description="Its place in the source's list when that was last read, from 0"
    )
    attempts: int
    download_started_at: datetime | None
    download_completed_at: datetime | None


class Document(DocumentStatus):
    """One document with what the source says of it."""

    model_config = shown(examples.DOCUMENT)

    position: int = Field(description="Its place in this list; given once, and never moved")
    first_seen_at: datetime
    vanished_at: datetime | None = Field(description="When the source stopped listing it")
    content_url: str = Field(description="Answers with a redirect to a link minted at that moment")


class Status(Counters):
    """How far a process is. `live` tells that the numbers are of this moment."""

    model_config = shown(examples.STATUS)

    process_number: str = Field(examples=[examples.NUMBER])
    status: JobStatus
    waiting_for: WaitReason | None = None
    waiting_since: datetime | None = None
    waiting_until: datetime | None = Field(
        None, description="When the wait ends and the job gives up; null if only help ends it"
    )
    next_try_at: datetime | None = None
    reason: Reason | None = Field(None, description="Why it failed, or what it waits out")
    error_message: str | None = None
    live: bool = Field(description="False: a job runs, but no worker answers for it just now")
    bytes_stored: int
    eta_seconds: int | None = Field(
        None,
        description="A guess of the seconds to the end; null while the job waits for something",
    )
    jobs_ahead: int | None = Field(
        None, description="Of a job that has not begun: how many were asked for before it"
    )
    job_id: str | None = Field(None, examples=[examples.JOB_ID])
    webhook_url: str | None = Field(None, description="Shown only to the key that gave it")
    webhook_sent: bool = False
    webhook_sent_at: datetime | None = None
    webhook_attempts: int = 0
    webhook_last_error: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    documents: list[DocumentStatus] | None = Field(
        None, description="By position, 1,000 a page; null with documents=none"
    )
    documents_next: str | None = Field(None, description="`cursor` of the next page, if any")


class Process(Answer):
    """A process with its metadata."""

    model_config = shown(examples.PROCESS)

    process_number: str = Field(examples=[examples.NUMBER])
    court: str = Field(examples=["TJSP"])
    segment: str = Field(examples=["JUSTICA_ESTADUAL"])
    class_name: str | None
    subjects: list[str]
    judging_body: str | None
    secrecy_level: int | None
    filed_at: datetime | None
    details: dict[str, Any] = Field(description="The rest of the source's metadata")
    fetched_at: datetime | None
    job_id: str | None
    status: JobStatus
    documents: Counters
    status_url: str
    documents_url: str
    movements_url: str


class Movement(Answer):
    """One movement of a process, as the source words it."""

    model_config = shown(examples.MOVEMENT)

    position: int = Field(description="Counted from the oldest; newer readings add above")
    at: datetime | None
    text: str | None
    kind: str | None = Field(description="The movement's type, which some courts name")
    kind_code: int | None = Field(description="In the national table (TPU), where given")
    instance: str | None = Field(description="Such as `G1`")
    document_id: uuid.UUID | None = Field(
        description="The document it brought in, where the source links one and lists it"
    )
    document_uuid: str | None = Field(
        description="The source's id of that document, also where the document is withheld"
    )


class ListedProcess(Answer):
    """One line of the list of processes."""

    model_config = shown(examples.LISTED_PROCESS)

    process_number: str = Field(examples=[examples.NUMBER])
    court: str
    class_name: str | None
    total_documents: int
    status: JobStatus
    fetched_at: datetime | None
    created_at: datetime


class Job(Answer):
    """One job: what it is and how it ended."""

    model_config = shown(examples.JOB)

    id: str = Field(examples=[examples.JOB_ID])
    process_number: str = Field(examples=[examples.NUMBER])
    status: JobStatus
    waiting_for: WaitReason | None
    waiting_since: datetime | None
    waiting_until: datetime | None = None
    next_try_at: datetime | None = None
    reason: Reason | None
    error_message: str | None
    total_documents: int
    completed_documents: int
    doubtful_documents: int = 0
    failed_documents: int
    bytes_stored: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    duration_seconds: float | None
    status_url: str


def _to_come(moment: datetime) -> datetime:
    if moment <= datetime.now(UTC):
        raise ValueError("a key that expires must do so in the future")
    return moment


class NewApiKey(RequestBody):
    """A caller to let in."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "billing", "role": "client"}]}
    )

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")
    role: Literal["client", "admin"] = "client"
    expires_at: Annotated[Timestamp, AfterValidator(_to_come)] | None = None


class ApiKey(Answer):
    """A caller, without the key."""

    model_config = shown(examples.API_KEY)

    id: uuid.UUID
    name: str
    role: str
    prefix: str = Field(description="The key's first letters", examples=["autos_3fT9xQ"])
    is_active: bool
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class CreatedApiKey(ApiKey):
    """A new caller, with the key. It is told this once and kept nowhere."""

    model_config = shown(examples.CREATED_API_KEY)

    key: str


class Page(Answer):
    """Base of lists: `next` is the `cursor` of the next page, null on the last one."""

    next: str | None = None


class DocumentPage(Page):
    """A page of documents."""

    items: list[Document]


class MovementPage(Page):
    """A page of movements."""

    items: list[Movement]


class ProcessPage(Page):
    """A page of processes."""

    items: list[ListedProcess]


class JobPage(Page):
    """A page of jobs."""

    items: list[Job]


class ApiKeyPage(Page):
    """A page of callers."""

    items: list[ApiKey]


class PartHealth(Answer):
    """Whether one part can be reached."""

    ok: bool
    detail: str | None = Field(None, description="What is wrong with it")


class Health(Answer):
    """Whether this API process can do its work."""

    model_config = shown(examples.HEALTH)

    ok: bool
    parts: dict[str, PartHealth] = Field(default_factory=dict)
