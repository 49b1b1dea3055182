"""The API's answers as this client reads them.

The fields are those that it shows. Others are kept for `--json`, and missing ones have a default,
so that an older client reads a newer service and a newer client an older one.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from autos.contracts.states import DocumentState, JobStatus


class Answer(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(extra="allow")

    def as_sent(self) -> dict[str, Any]:
        """All that the API sent, and nothing that it did not, for programs."""
        return self.model_dump(mode="json", exclude_unset=True)


Item = TypeVar("Item", bound=Answer)


class Page(Answer, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next: str | None = None


class Document(Answer):
    """One document of a process."""

    id: str
    position: int | None = None
    name: str | None = None
    status: DocumentState
    size: int | None = None
    mime_type: str | None = None
    sha256: str | None = None
    download_url: str | None = None
    doubt: str | None = None
    reason: str | None = None
    error_message: str | None = None
    attempts: int = 0


class Status(Answer):
    """How far a process is."""

    process_number: str
    status: JobStatus
    waiting_for: str | None = None
    waiting_since: datetime | None = None
    waiting_until: datetime | None = None
    next_try_at: datetime | None = None
    live: bool = True
    total_documents: int = 0
    completed_documents: int = 0
    failed_documents: int = 0
    pending_documents: int = 0
    processing_documents: int = 0
    doubtful_documents: int = 0
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


class Started(Answer):
    """The answer to a request for a download."""

    process_number: str
    status: JobStatus
    job_id: str | None = None


class Process(Answer):
    """A process with its metadata."""

    process_number: str
    court: str | None = None
    class_name: str | None = None
    judging_body: str | None = None
    subjects: list[str] = Field(default_factory=list)
    filed_at: datetime | None = None
    fetched_at: datetime | None = None
    status: JobStatus
    job_id: str | None = None


class Job(Answer):
    """One job as the list shows it."""

    id: str
    process_number: str
    status: JobStatus
    waiting_for: str | None = None
    reason: str | None = None
    total_documents: int = 0
    completed_documents: int = 0
    failed_documents: int = 0
    doubtful_documents: int = 0
    created_at: datetime | None = None


class ApiKey(Answer):
    """An API key as the list shows it."""

    id: str
    name: str
    role: str
    prefix: str | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class NewApiKey(ApiKey):
    """An API key at its creation, the only time the key itself is answered."""

    key: str


class PartHealth(Answer):
    """Whether one part can be reached."""

    ok: bool


class Health(Answer):
    """What the API can reach."""

    ok: bool
    parts: dict[str, PartHealth] = Field(default_factory=dict)


class CredentialState(Answer):
    """What the API says of the source's credential; never the tokens."""

    is_set: bool
    refreshable: bool = False
    expires_at: datetime | None = None
    refused_since: datetime | None = None
    waiting_jobs: int | None = None


class WokenJobs(Answer):
    """How many jobs try again with a new credential."""

    woken_jobs: int = 0


class Check(Answer):
    """One check of a diagnosis."""

    name: str
    ok: bool | None = None
    """None where it could not be looked at."""
    detail: str = ""
    advice: str | None = None


class Diagnosis(Answer):
    """What the API found when it looked at its parts."""

    checks: list[Check]


class Problem(Answer):
    """A refusal (RFC 9457)."""

    title: str | None = None
    detail: str | None = None
    request_id: str | None = None
    errors: list[Mapping[str, Any]] | None = None


class Finding(Answer):
    """One thing that a reconciliation found wrong."""

    id: str
    process_number: str | None = None
    mended: bool = False


class Findings(Answer):
    """What a reconciliation found of one kind."""

    kind: str
    found: int = 0
    mended: int = 0
    first: list[Finding] = Field(default_factory=list)


class Reconciliation(Answer):
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
