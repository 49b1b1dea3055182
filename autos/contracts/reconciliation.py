"""What `ReconcileWorkflow` and its activity say to each other, and the report that comes of it.

A reconciliation goes step by step, and each step page by page. Ids, case numbers and counts only:
no address, name or token of anything found enters a workflow's history.
"""

from enum import StrEnum
from typing import Final

from pydantic import BaseModel, Field

MAX_FINDINGS: Final = 50
"""So many findings of a kind are told by their ids; all are counted."""


class Step(StrEnum):
    """What is compared, in this order: a later step builds on what an earlier one has mended."""

    JOBS = "jobs"
    """Active rows with what Temporal has."""
    RUNNING = "running"
    """Running jobs with their rows."""
    SUBSCRIPTIONS = "subscriptions"
    """Webhook URLs that no job has taken up."""
    DELIVERIES = "deliveries"
    """Pending deliveries with their workflows."""
    LEFTOVERS = "leftovers"
    """What has outlived its lifetime."""
    OBJECTS = "objects"
    """Documents' rows with the objects in the store."""


FREQUENT_STEPS: Final = (
    Step.JOBS,
    Step.RUNNING,
    Step.SUBSCRIPTIONS,
    Step.DELIVERIES,
    Step.LEFTOVERS,
)
"""The steps that cost little."""
DAILY_STEPS: Final = (Step.OBJECTS,)
"""It lists the whole bucket, a thousand objects a call."""


class Kind(StrEnum):
    """What can be wrong."""

    JOB_CLOSED = "job_closed"
    """Temporal says that the job is over; its row did not hear of it."""
    JOB_UNKNOWN = "job_unknown"
    """Temporal knows nothing of a job whose row is active."""
    JOB_SUPERSEDED = "job_superseded"
    """The row is active, but the process's newest job is another one."""
    JOB_UNRECORDED = "job_unrecorded"
    """A job runs and has no row."""
    SUBSCRIPTION_OPEN = "subscription_open"
    """A webhook URL that no job will tell."""
    DELIVERY_STOPPED = "delivery_stopped"
    """An event that is not delivered, and nobody is trying."""
    IDEMPOTENCY_KEY_EXPIRED = "idempotency_key_expired"
    """A kept answer past its lifetime."""
    ATTEMPT_EXPIRED = "attempt_expired"
    """An attempt of a delivery that is older than attempts are kept."""
    RECEIPT_EXPIRED = "receipt_expired"
    """A webhook of the test receiver that is older than those are kept."""
    OBJECT_ORPHANED = "object_orphaned"
    """An object that no document refers to."""
    OBJECT_MISSING = "object_missing"
    """A document that is called available and is not in the store."""


class Finding(BaseModel):
    """One thing that is wrong, by its id."""

    id: str
    """Of the job, subscription, event or document; for an orphan its key in the bucket."""
    process_number: str | None = None
    mended: bool


class Count(BaseModel):
    """How much of one kind was found and mended, and the first of it."""

    found: int = 0
    mended: int = 0
    first: list[Finding] = Field(default_factory=list)

    def add(self, other: "Count") -> None:
        """Count what another page has found."""
        self.found += other.found
        self.mended += other.mended
        self.first += other.first[: MAX_FINDINGS - len(self.first)]


class Counts(BaseModel):
    """Everything found, by kind; a kind of which there was nothing is not in it."""

    kinds: dict[Kind, Count] = Field(default_factory=dict)

    def note(self, kind: Kind, finding: Finding) -> None:
        """Count one finding."""
        mended = int(finding.mended)
        self._of(kind).add(Count(found=1, mended=mended, first=[finding]))

    def count(self, kind: Kind, *, found: int, mended: int) -> None:
        """Count findings that have no ids to tell."""
        if found:
            self._of(kind).add(Count(found=found, mended=mended))

    def add(self, other: "Counts") -> None:
        """Count what another page has found."""
        for kind, tally in other.kinds.items():
            self._of(kind).add(tally)

    @property
    def left(self) -> int:
        """How much was found and not mended."""
        return sum(tally.found - tally.mended for tally in self.kinds.values())

    def _of(self, kind: Kind) -> Count:
        return self.kinds.setdefault(kind, Count())


class Report(BaseModel):
    """Result of `ReconcileWorkflow`."""

    dry_run: bool = False
    tallies: Counts = Field(default_factory=Counts)
    unfinished: list[Step] = Field(default_factory=list)
    """Steps that were given up since one of our own parts did not answer."""


class ReconcileOptions(BaseModel):
    """How carefully a reconciliation goes about it."""

    dry_run: bool = False
    """Report, and change nothing."""
    grace_seconds: int = 300
    """What is younger may still be on its way and is left alone; longer than any request takes."""
    object_grace_seconds: int = 86_400
    """The same for objects: one is stored before its row says so."""


class Carried(BaseModel):
    """What a run hands to the next when it continues as new."""

    report: Report
    cursor: str | None = None
    objects_known: int = 0


class Reconcile(BaseModel):
    """Input of `ReconcileWorkflow`."""

    terms: ReconcileOptions = Field(default_factory=ReconcileOptions)
    steps: list[Step] = Field(default_factory=lambda: list(Step))
    """Those still to do; the first one from the carried cursor on."""
    carried: Carried | None = None
    continue_as_new_after: int | None = None
    """Events in the history after which to continue as new; None leaves it to the server."""


class ReconcilePage(BaseModel):
    """Input of `reconcile_page`: compare a bounded part of a step, and mend what is wrong."""

    terms: ReconcileOptions
    step: Step
    cursor: str | None = None
    """Where the page before this one ended."""
    objects_known: int = 0
    """Objects found so far whose rows are there, too."""


class ReconciledPage(BaseModel):
    """Output of `reconcile_page`."""

    tallies: Counts = Field(default_factory=Counts)
    cursor: str | None = None
    """Where the next page begins; None after the last."""
    objects_known: int = 0
    """The same count after this page."""
