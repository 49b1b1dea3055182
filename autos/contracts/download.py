"""Messages between `DownloadProcessWorkflow`, its activities and the API.

They carry positions, ids, counts and reasons only. A document's address or name and tokens never
enter a workflow's history. The states of a job's documents are one string with one character per
position.
"""

from datetime import datetime

from pydantic import AliasChoices, BaseModel, Field

from autos.cnj import CaseNumber
from autos.contracts.job_state import JobState, Retry
from autos.contracts.reasons import Doubt, Reason, WaitReason
from autos.contracts.retries import retry_rule
from autos.contracts.states import DocumentState, JobStatus

PENDING = "p"
PROCESSING = "d"
AVAILABLE = "a"
DOUBTFUL = "q"
"""Available with a `Doubt`: counted as available, and fetched again by `retry_failed`."""
FAILED = "f"
CHARACTERS: dict[DocumentState, str] = {
    DocumentState.PENDING: PENDING,
    DocumentState.PROCESSING: PROCESSING,
    DocumentState.AVAILABLE: AVAILABLE,
    DocumentState.FAILED: FAILED,
}
STATES: dict[str, DocumentState] = {
    DOUBTFUL: DocumentState.AVAILABLE,
    **{letter: state for state, letter in CHARACTERS.items()},
}


class JobOptions(BaseModel):
    """How a job is run; taken from the settings of the API process that starts it."""

    batch_size: int = 5
    parallel_batches: int = 1
    lookahead: int = 1
    """Batches scheduled in advance; their documents wait for those before them."""
    retry_unit_seconds: float = 2.0
    continue_as_new_after: int | None = None
    """Events in the history after which to continue as new; None leaves it to the server."""


# ------------------------------------------------------------------ the workflow and its callers


class Attach(BaseModel):
    """Signal: a request for this process, with a subscription if it has a webhook."""

    subscription_id: str | None = None
    max_age_seconds: int = 86_400
    """Maximum age of the metadata, in seconds; 0 fetches it again (`force_refresh`)."""


class AttachCheck(BaseModel):
    """Answer of the `check_attach` query."""

    job_id: str
    changes: bool
    """False when sending the signal would change nothing."""


class Steer(BaseModel):
    """Input of the updates `pause`, `resume` and `retry_failed`."""

    job_id: str | None = None
    """Id of the job to steer; a later job of the same process rejects it. None means any job."""


class DownloadProcess(BaseModel):
    """Input of `DownloadProcessWorkflow`."""

    process_number: str
    court: str
    job_options: JobOptions = Field(
        default_factory=JobOptions,
        # The second name is the one in histories recorded before version 1.0.
        validation_alias=AliasChoices("job_options", "wishes"),
    )
    state: JobState | None = None
    """The state when the previous run continued as new; None for the job's first run."""


class Progress(BaseModel):
    """Answer of the `progress` query and of the updates: a snapshot of one job.

    The counters `pending`, `processing`, `available` and `failed` sum to the total.
    """

    job_id: str
    process_number: str
    status: JobStatus
    waiting_for: WaitReason | None = None
    waiting_since: datetime | None = None
    waiting_until: datetime | None = None
    """When the job gives up; None where the wait has no limit."""
    next_try_at: datetime | None = None
    """When the next document is retried. None while the job waits: the job's row has the time."""
    reason: Reason | None = None
    states: str = ""
    """One character per document, by position, as in `STATES`."""
    total: int = 0
    pending: int = 0
    processing: int = 0
    available: int = 0
    """Including the doubtful ones."""
    doubtful: int = 0
    failed: int = 0
    percentage: float = 0.0
    bytes_stored: int = 0
    retries: list[Retry] = Field(default_factory=list)
    """The documents that are retried next, at most 100."""
    started_at: datetime | None = None
    documents_per_second: float | None = None
    eta_seconds: int | None = None


class JobResult(BaseModel):
    """Result of `DownloadProcessWorkflow`."""

    job_id: str
    process_number: str
    status: JobStatus
    reason: Reason | None = None
    total: int
    available: int
    """Including the doubtful ones."""
    doubtful: int = 0
    failed: int


# ------------------------------------------------------------------ the workflow and its activities


class _JobRequest(BaseModel):
    """Base of the activities' inputs."""

    job_id: str
    process_number: str
    """The case number's 20 digits."""

    @property
    def case(self) -> CaseNumber:
        """The case number, checked when the API accepted it."""
        return CaseNumber(self.process_number)


class FetchProcess(_JobRequest):
    """Input of `fetch_process`: update the metadata and return what to download."""

    max_age_seconds: int
    again: bool = False
    """Also retry the documents that failed earlier in this job."""


class FetchedProcess(BaseModel):
    """Output of `fetch_process`: the documents' states, or the reason why there are none."""

    states: str = ""
    bytes_stored: int = 0
    fetched_at: datetime | None = None
    """When the source was read; in the past when the stored copy was fresh enough."""
    reason: Reason | None = None
    final: bool = False
    retry_after_seconds: float | None = None


class BatchDocument(BaseModel):
    """One document of a batch, and the attempts that the job has made so far."""

    position: int
    tried: dict[Reason, int] = Field(default_factory=dict)
    """How many attempts of this job ended with which reason; only those that count."""

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1, over all reasons."""
        return sum(self.tried.values()) + 1

    def is_last(self, reason: Reason) -> bool:
        """True if the document has failed should this attempt end with `reason`.

        Each reason is counted separately: an outage of the store uses no attempt at the source.
        """
        return self.tried.get(reason, 0) + 1 >= retry_rule(reason).attempts


class DownloadBatch(_JobRequest):
    """Input of `download_batch`: a few documents to download concurrently."""

    batch: int
    at_once: int = 5
    """The job's documents in flight at once, over all its batches on a worker."""
    documents: list[BatchDocument]


class DocumentOutcome(BaseModel):
    """The result of an attempt at one document: stored with its size, or refused for a reason."""

    position: int
    size: int | None = None
    doubt: Doubt | None = None
    reason: Reason | None = None
    final: bool = False
    retry_after_seconds: float | None = None
    unsent: bool = False
    """No request was sent (breaker open, or no credential), so no attempt counts."""


class BatchResult(BaseModel):
    """Output of `download_batch`: one outcome per requested document."""

    outcomes: list[DocumentOutcome]


class AwaitSource(_JobRequest):
    """Input of `await_source`: does the source answer, and does it accept the credential?

    The activity writes the result into the job's row.
    """

    status: JobStatus
    waiting_for: WaitReason | None = None
    """What the job already waits for: the server retries the activity until the source works or the
    reason changes. None checks once and returns the result."""
    since: datetime
    """When the wait began; now if the job does not wait yet."""
    until: datetime
    """When the job gives up."""
    delay_seconds: float = 0.0
    """How long to wait before the first check."""
    retry_unit_seconds: float
    urgent: bool = False
    """Send the request even if the breaker is open, as an operator requested it."""


class SourceCheck(BaseModel):
    """Output of `await_source`: why the source does not work, or no reason when it does."""

    reason: Reason | None = None
    delay_seconds: float = 0.0
    """How long to wait before the next check."""
    held_back: bool = False
    """Autos' own breaker rejected the request; the source did not."""

    @property
    def waiting_for(self) -> WaitReason | None:
        """What a job has to wait for; None when the source works."""
        if self.reason is None:
            return None
        return WaitReason.CREDENTIAL if self.reason is Reason.CREDENTIAL else WaitReason.SOURCE


class RecordJob(_JobRequest):
    """Input of `record_job`: the state of a running job, for its row."""

    status: JobStatus
    waiting_for: WaitReason | None = None
    waiting_since: datetime | None = None
    waiting_until: datetime | None = None
    reason: Reason | None = None
    reopens: bool = False
    """The job had ended and is opened again; otherwise the row of an ended job is not changed."""


class CloseJob(_JobRequest):
    """Input of `close_job`: how the job ended."""

    states: str
    """The documents' states when the job stopped; abandoned ones are `f`."""
    status: JobStatus | None = None
    """`failed` or `cancelled`; None derives the status from the documents."""
    gave_up: bool = False
    """The job stopped before all documents had ended."""
    reason: Reason | None = None
    subscriptions: list[str] = Field(default_factory=list)
    minimal: bool = False
    """Write row and events without a manifest, because writing the manifest failed."""


class ClosedJob(BaseModel):
    """Output of `close_job`: the recorded end of the job."""

    status: JobStatus
    reason: Reason | None = None
    states: str
    bytes_stored: int
    deliveries: list[str]
    """Events whose delivery Temporal did not accept from the activity; the workflow starts it."""


def percentage(ended: int, total: int, status: JobStatus) -> float:
    """The share that has ended, 0 to 100, rounded down: 100 means all of it.

    A process without documents is complete once its job has completed.
    """
    if total == 0:
        return 100.0 if status is JobStatus.COMPLETED else 0.0
    return ended * 10_000 // total / 100
