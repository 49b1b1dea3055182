"""Messages between `ReconcileWorkflow` and its activity, and the report.

A reconciliation runs step by step, and each step page by page. Ids, case numbers and counts only:
no address, name or token of a finding enters a workflow's history.
"""

from enum import StrEnum
from typing import Final

from pydantic import BaseModel, Field

MAX_FINDINGS: Final = 50
"""How many findings of a kind are listed by id; all are counted."""


class Step(StrEnum):
    """What is compared, in this order: a later step relies on the repairs of earlier ones."""

    JOBS = "jobs"
    """Active rows with Temporal's workflows."""
    RUNNING = "running"
    """Running jobs with their rows."""
    SUBSCRIPTIONS = "subscriptions"
    """Webhook URLs that no job has claimed."""
    DELIVERIES = "deliveries"
    """Pending deliveries with their workflows."""
    LEFTOVERS = "leftovers"
    """Rows past their lifetime."""
    OBJECTS = "objects"
    """Documents' rows with the objects in the store."""


FREQUENT_STEPS: Final = (
    Step.JOBS,
    Step.RUNNING,
    Step.SUBSCRIPTIONS,
    Step.DELIVERIES,
    Step.LEFTOVERS,
)
"""The cheap steps."""
DAILY_STEPS: Final = (Step.OBJECTS,)
"""It lists the whole bucket, a thousand objects a call."""


class Kind(StrEnum):
    """What a reconciliation may find."""

    JOB_CLOSED = "job_closed"
    """The workflow has ended, and the job's row is still active."""
    JOB_UNKNOWN = "job_unknown"
    """Temporal does not know a job whose row is active."""
    JOB_SUPERSEDED = "job_superseded"
    """The row is active, but the process's newest job is another one."""
    JOB_UNRECORDED = "job_unrecorded"
    """A running job has no row."""
    SUBSCRIPTION_OPEN = "subscription_open"
    """A webhook URL that no job will notify."""
    DELIVERY_STOPPED = "delivery_stopped"
    """An undelivered event has no delivery workflow."""
    IDEMPOTENCY_KEY_EXPIRED = "idempotency_key_expired"
    """A stored response past its lifetime."""
    ATTEMPT_EXPIRED = "attempt_expired"
    """An attempt of a delivery past its lifetime."""
    RECEIPT_EXPIRED = "receipt_expired"
    """A webhook of the test receiver past its lifetime."""
    OBJECT_ORPHANED = "object_orphaned"
    """An object to which no document refers."""
    OBJECT_MISSING = "object_missing"
    """A document is available in the records and missing in the store."""


class Finding(BaseModel):
    """One disagreement, by id."""

    id: str
    """Id of the job, subscription, event or document; for an orphan, its key in the bucket."""
    process_number: str | None = None
    mended: bool


class Count(BaseModel):
    """How many of one kind were found and repaired, and the first of them."""

    found: int = 0
    mended: int = 0
    first: list[Finding] = Field(default_factory=list)

    def add(self, other: "Count") -> None:
        """Add another page's count."""
        self.found += other.found
        self.mended += other.mended
        self.first += other.first[: MAX_FINDINGS - len(self.first)]


class Counts(BaseModel):
    """All findings, by kind; kinds without findings are absent."""

    kinds: dict[Kind, Count] = Field(default_factory=dict)

    def note(self, kind: Kind, finding: Finding) -> None:
        """Count one finding."""
        self._of(kind).add(Count(found=1, mended=int(finding.mended), first=[finding]))

    def count(self, kind: Kind, *, found: int, mended: int) -> None:
        """Count findings that have no ids."""
        if found:
            self._of(kind).add(Count(found=found, mended=mended))

    def add(self, other: "Counts") -> None:
        """Add another page's counts."""
        for kind, count in other.kinds.items():
            self._of(kind).add(count)

    @property
    def left(self) -> int:
        """How many were found and not repaired."""
        return sum(count.found - count.mended for count in self.kinds.values())

    def _of(self, kind: Kind) -> Count:
        return self.kinds.setdefault(kind, Count())


class Report(BaseModel):
    """Result of `ReconcileWorkflow`."""

    dry_run: bool = False
    tallies: Counts = Field(default_factory=Counts)
    unfinished: list[Step] = Field(default_factory=list)
    """Steps that were skipped because records, store or Temporal did not answer."""


class ReconcileOptions(BaseModel):
    """Whether a reconciliation repairs, and the minimum age of what it compares."""

    dry_run: bool = False
    """Report only, and change nothing."""
    grace_seconds: int = 300
    """Anything younger may still be under way and is skipped; longer than any request takes."""
    object_grace_seconds: int = 86_400
    """The same for objects: they are stored before their rows are written."""


class Carried(BaseModel):
    """The state that a run passes to the next when it continues as new."""

    report: Report
    cursor: str | None = None
    objects_known: int = 0


class Reconcile(BaseModel):
    """Input of `ReconcileWorkflow`."""

    terms: ReconcileOptions = Field(default_factory=ReconcileOptions)
    steps: list[Step] = Field(default_factory=lambda: list(Step))
    """The remaining steps; the first one continues at the carried cursor."""
    carried: Carried | None = None
    continue_as_new_after: int | None = None
    """Events in the history after which to continue as new; None leaves it to the server."""


class ReconcilePage(BaseModel):
    """Input of `reconcile_page`: compare one page of a step, and repair what disagrees."""

    terms: ReconcileOptions
    step: Step
    cursor: str | None = None
    """Where the previous page ended."""
    objects_known: int = 0
    """Objects found so far that have a row."""


class ReconciledPage(BaseModel):
    """Output of `reconcile_page`."""

    tallies: Counts = Field(default_factory=Counts)
    cursor: str | None = None
    """Where the next page begins; None after the last."""
    objects_known: int = 0
    """The same count after this page."""
