"""What `DownloadProcessWorkflow` and its activities say to each other.

Positions, ids, counts and reasons only: no address, name or token of a document enters a
workflow's history. A job's documents travel as a string with one character per position.
"""

from datetime import datetime

from pydantic import AliasChoices, BaseModel, Field

from autos.contracts.job_state import JobState, Retry
from autos.contracts.retries import retry_rule
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


class JobOptions(BaseModel):
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


class AttachCheck(BaseModel):
    """Answer of the `check_attach` query: which job would be attached to, and is there a need?"""

    job_id: str
    changes: bool
    """False when sending the signal would change nothing."""


class Steer(BaseModel):
    """Input of the updates `pause`, `resume` and `retry_failed`."""

    job_id: str | None = None
    """The job that is meant: one that has ended refuses for its successor. None means any."""


class DownloadProcess(BaseModel):
    """Input of `DownloadProcessWorkflow`."""

    process_number: str
    court: str
    wishes: JobOptions = Field(
        default_factory=JobOptions, validation_alias=AliasChoices("job_options", "wishes")
    )
    state: JobState | None = None
    """What the run before this one left; None for the job's first run."""


class Progress(BaseModel):
    """Answer of the `progress` query and of the updates: one moment of a job.

    The counters `pending`, `processing`, `available` and `failed` sum to the total.
    """

    job_id: str
    process_number: str
    status: JobStatus
    waiting_for: WaitReason | None = None
    waiting_since: datetime | None = None
    waiting_until: datetime | None = None
    """When the wait ends by itself and the job gives up; None where nothing ends it but help."""
    next_try_at: datetime | None = None
    """When a document is asked for again. Of a job that waits the row knows it."""
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
    """Including the doubtful ones."""
    doubtful: int = 0
    failed: int


class FetchProcess(BaseModel):
    """Input of `fetch_process`: bring the metadata up to date and say what is to download."""

    job_id: str
    process_number: str
    max_age_seconds: int
    again: bool = False
    """Try again what this very job had failed to get before it was asked for once more."""


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
    """One document of a batch, and what the job has tried so far.

    A document that is available with a doubt is asked for again only when somebody asked for that;
    what is held stays held until something better is stored.
    """

    position: int
    tried: dict[Reason, int] = Field(default_factory=dict)
    """How many earlier attempts of this job ended with which reason; those that counted."""

    @property
    def attempt(self) -> int:
        """From 1; of those that count, whatever they ended with."""
        return sum(self.tried.values()) + 1

    def is_last(self, reason: Reason) -> bool:
        """True if the document is not asked for again should this attempt end with `reason`.

        Each reason is counted by itself: a store that was away uses up no attempt at the source.
        The document's row is then `failed`. An attempt that turns out not to count (the source
        itself was out of order) opens the row again.
        """
        return self.tried.get(reason, 0) + 1 >= retry_rule(reason).attempts


class DownloadBatch(BaseModel):
    """Input of `download_batch`: a few documents to be had side by side."""

    job_id: str
    process_number: str
    batch: int
    at_once: int = 5
    """So many of the job's documents are asked for at once, over all its batches on a worker."""
    documents: list[Wanted]


class Outcome(BaseModel):
    """What became of one document: available with its size, perhaps with a doubt, or a reason."""

    position: int
    size: int | None = None
    doubt: Doubt | None = None
    reason: Reason | None = None
    final: bool = False
    retry_after_seconds: float | None = None
    unsent: bool = False
    """Held back by our own breaker, or for want of a credential: no request was made and no attempt
    counts."""


class BatchResult(BaseModel):
    """Output of `download_batch`: one outcome per document asked for."""

    outcomes: list[Outcome]


class AwaitSource(BaseModel):
    """Input of `await_source`: does the source answer, and does it take the credential?

    The activity writes what it finds into the job's row: what the job waits for and why, since
    when, until when at the most, and when it asks next; or that it waits for neither.
    """

    job_id: str
    process_number: str
    status: JobStatus
    waiting_for: WaitReason | None = None
    """What the job waits for already: the server runs the activity again until the source works,
    or has to be waited for in another way. None: ask once and say what came of it."""
    since: datetime
    """When the wait began, or would begin now."""
    until: datetime
    """When the job gives up."""
    delay_seconds: float = 0.0
    """How long to wait before the first question."""
    retry_unit_seconds: float
    urgent: bool = False
    """Somebody says that the source works again: ask, though its breaker is open."""


class SourceCheck(BaseModel):
    """Output of `await_source`: why the source does not work; without a reason it does."""

    reason: Reason | None = None
    delay_seconds: float = 0.0
    """How long to wait before the next question."""
    held_back: bool = False
    """Our own breaker kept the question back: the source itself has not refused it."""

    @property
    def waiting_for(self) -> WaitReason | None:
        """What a job has to wait for; None when the source works."""
        if self.reason is None:
            return None
        return WaitReason.CREDENTIAL if self.reason is Reason.CREDENTIAL else WaitReason.SOURCE


class RecordJob(BaseModel):
    """Input of `record_job`: what the records should say of a running job."""

    job_id: str
    process_number: str
    status: JobStatus
    waiting_for: WaitReason | None = None
    waiting_since: datetime | None = None
    waiting_until: datetime | None = None
    reason: Reason | None = None
    reopens: bool = False
    """The job had ended and is opened again; otherwise the row of an ended job stays as it is."""


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
    minimal: bool = False
    """Write the row and the events only: closing with a manifest has failed on a defect."""


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
