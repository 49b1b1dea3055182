"""The API's answers as this client reads them: what it shows, and nothing more.

Unknown fields are ignored and missing ones have a default, so that an older client reads a newer
service.
"""

from datetime import datetime

from pydantic import BaseModel, Field

from autos.contracts.states import DocumentState, JobStatus


class Document(BaseModel):
    """One document of a process."""

    id: str
    name: str | None = None
    status: DocumentState
    size: int | None = None
    mime_type: str | None = None
    sha256: str | None = None
    download_url: str | None = None
    reason: str | None = None
    error_message: str | None = None
    attempts: int = 0


class Status(BaseModel):
    """How far a process is (DESIGN §10)."""

    process_number: str
    status: JobStatus
    waiting_for: str | None = None
    waiting_since: datetime | None = None
    live: bool = True
    total_documents: int = 0
    completed_documents: int = 0
    failed_documents: int = 0
    pending_documents: int = 0
    processing_documents: int = 0
    progress_percentage: float = 0
    bytes_stored: int = 0
    documents_per_second: float | None = None
    eta_seconds: float | None = None
    job_id: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    reason: str | None = None
    error_message: str | None = None

    @property
    def done(self) -> int:
        """Documents about which nothing more will happen."""
        return self.completed_documents + self.failed_documents


class Started(BaseModel):
    """The answer to the wish for a download."""

    process_number: str
    status: JobStatus
    job_id: str | None = None


class Job(BaseModel):
    """One job as the list shows it."""

    id: str
    process_number: str
    status: JobStatus
    waiting_for: str | None = None
    reason: str | None = None
    total_documents: int = 0
    completed_documents: int = 0
    failed_documents: int = 0
    created_at: datetime | None = None


class JobPage(BaseModel):
    """One page of the list of jobs."""

    items: list[Job]
    next: str | None = None


class DocumentPage(BaseModel):
    """One page of the list of documents."""

    items: list[Document]
    next: str | None = None


class ApiKey(BaseModel):
    """An API key as the list shows it."""

    id: str
    name: str
    role: str
    prefix: str | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class NewApiKey(ApiKey):
    """An API key at its creation, the only time the key itself is told."""

    key: str


class ApiKeyPage(BaseModel):
    """One page of API keys."""

    items: list[ApiKey]
    next: str | None = None


class PartHealth(BaseModel):
    """Whether one part can be reached."""

    ok: bool


class Health(BaseModel):
    """What the API can reach."""

    ok: bool
    parts: dict[str, PartHealth] = Field(default_factory=dict)


class Finding(BaseModel):
    """One thing that a reconciliation found wrong."""

    id: str
    process_number: str | None = None
    mended: bool = False


class Findings(BaseModel):
    """What a reconciliation found of one kind."""

    kind: str
    found: int = 0
    mended: int = 0
    first: list[Finding] = Field(default_factory=list)


class Reconciliation(BaseModel):
    """How far a reconciliation is, and what it found."""

    id: str
    status: str
    left: int = 0
    findings: list[Findings] = Field(default_factory=list)
    unfinished: list[str] = Field(default_factory=list)

    @property
    def ended(self) -> bool:
        """True once there is nothing more to wait for."""
        return self.status in ("completed", "failed")
