"""What `DownloadProcessWorkflow` and its activities say to each other (DESIGN §5).

Positions, ids, counts and reasons only: no address, name or token of a document enters a
workflow's history. A job's documents travel as a string with one character per position.
"""

from datetime import datetime

from pydantic import BaseModel, Field

from autos.contracts.states import DocumentState, Doubt, JobStatus, Reason, WaitReason

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


class Wishes(BaseModel):
    """How a job is to be run; taken from the settings of the API that starts it."""

    batch_size: int = 5
    parallel_batches: int = 1
    lookahead: int = 1
    """Batches handed over ahead of time; their documents wait for those before them."""
    retry_unit_seconds: float = 2.0
    continue_as_new_after: int | None = None
    """Events in the history after which to continue as new; None leaves it to the server."""


class Attach(BaseModel):
    """Signal: somebody wants this process; with a subscription if they gave a webhook."""

    subscription_id: str | None = None
    max_age_seconds: int = 86_400
    """A copy of the metadata younger than this will do; 0 reads it again (`force_refresh`)."""


class Retry(BaseModel):
    """One document that will be asked for again."""

    position: int
    due: datetime
    reason: Reason


class Carried(BaseModel):
    """What a run hands to the next when it continues as new; all of a job's state."""

    states: str = ""
    attempts: dict[int, int] = Field(default_factory=dict)
    """Attempts that counted, by position; only of documents that were tried and are not done."""
    retries: list[Retry] = Field(default_factory=list)
    subscriptions: list[str] = Field(default_factory=list)
    """Attached and not yet announced to."""
    max_age_seconds: int | None = None
    """The strictest wish that no reading of the metadata has satisfied yet; None when all are."""
    fetched_at: datetime | None = None
    again: bool = False
    """The job had ended and was asked for once more: what had failed is tried again."""
    paused: bool = False
    waiting_for: WaitReason | None = None
    waiting_since: datetime | None = None
    probes: int = 0
    batches: int = 0
    bytes_stored: int = 0
    downloaded: int = 0
    """Documents made available by this job, for the rate."""
    started_at: datetime | None = None


class DownloadProcess(BaseModel):
    """Input of `DownloadProcessWorkflow`."""

    process_number: str
    court: str
    wishes: Wishes = Field(default_factory=Wishes)
    carried: Carried | None = None


class Progress(BaseModel):
    """Answer of the `progress` query: one moment of a job. The four counters sum to the total."""

    job_id: str
    process_number: str
    status: JobStatus
    waiting_for: WaitReason | None = None
    waiting_since: datetime | None = None
    next_try_at: datetime | None = None
    reason: Reason | None = None
    states: str = ""
    """One character per document, by position: `p`ending, `d`ownloading, `a`vailable, `f`ailed."""
    total: int = 0
    pending: int = 0
    processing: int = 0
    available: int = 0
    failed: int = 0
    percentage: float = 0.0
    bytes_stored: int = 0
    retries: list[Retry] = Field(default_factory=list)
    """The documents that are tried again next, at most 100."""
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
    failed: int


class FetchProcess(BaseModel):
    """Input of `fetch_process`: bring the metadata up to date and say what is to download."""

    job_id: str
    process_number: str
    max_age_seconds: int
    again: bool = False
    """Try again what this very job had failed to get before it was asked for once more."""
    urgent: bool = False
    """Somebody says that the source works again: ask, though its breaker is open."""


class FetchedProcess(BaseModel):
    """What came of it: the documents' states, or the reason why there are none."""

    states: str = ""
    bytes_stored: int = 0
    fetched_at: datetime | None = None
    """When the source was really read; in the past when the held copy was fresh enough."""
    reason: Reason | None = None
    final: bool = False
    retry_after_seconds: float | None = None


class Wanted(BaseModel):
    """One document of a batch, and which attempt this is (from 1)."""

    position: int
    attempt: int
    last: bool = False
    """No attempt follows this one, whatever comes of it."""
    mismatches: int = 0
    """Attempts before this one that brought another size than listed."""


class DownloadBatch(BaseModel):
    """Input of `download_batch`: a few documents to be had side by side."""

    job_id: str
    process_number: str
    batch: int
    at_once: int = 5
    """So many of the job's documents are asked for at once, over all its batches on a worker."""
    documents: list[Wanted]


class Outcome(BaseModel):
    """What became of one document: available with its size, or a reason."""

    position: int
    size: int | None = None
    doubt: Doubt | None = None
    """Available, and perhaps not what the source means the document to be."""
    reason: Reason | None = None
    final: bool = False
    retry_after_seconds: float | None = None
    unsent: bool = False
    """Held back by our own breaker, or for want of a credential: no request was made and no attempt
    counts."""


class BatchResult(BaseModel):
    """Output of `download_batch`: one outcome per document asked for."""

    outcomes: list[Outcome]


class ProbeSource(BaseModel):
    """Input of `probe_source`: does the source answer, and does it take the credential?"""

    process_number: str
    urgent: bool = False
    """As in `FetchProcess`."""


class ProbedSource(BaseModel):
    """None when the source works; otherwise why not."""

    reason: Reason | None = None
    retry_after_seconds: float | None = None


class RecordJob(BaseModel):
    """Input of `record_job`: what the records should say of a running job."""

    job_id: str
    process_number: str
    status: JobStatus
    waiting_for: WaitReason | None = None
    waiting_since: datetime | None = None


class CloseJob(BaseModel):
    """Input of `close_job`: how the job ended."""

    job_id: str
    process_number: str
    states: str
    """The documents as the workflow left them; one that it gave up is `f` here first."""
    status: JobStatus | None = None
    """`failed` and `cancelled` are said by the workflow; None lets the documents decide."""
    gave_up: bool = False
    """The job stopped trying: what it has counts, and it did not get all."""
    reason: Reason | None = None
    subscriptions: list[str] = Field(default_factory=list)


class ClosedJob(BaseModel):
    """The job as the records hold it, and the events that are to be delivered."""

    status: JobStatus
    reason: Reason | None = None
    states: str
    bytes_stored: int
    deliveries: list[str]


def percentage(ended: int, total: int, status: JobStatus) -> float:
    """How much has ended, 0 to 100, cut (not rounded) so that 100 means all of it.

    A process without documents is wholly there once its job has completed.
    """
    if total == 0:
        return 100.0 if status is JobStatus.COMPLETED else 0.0
    return ended * 10_000 // total / 100
