"""Scripted activities under the real names, and workers that run them."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.common import Priority
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import Worker

from autos.contracts.download import (
    Attach,
    AwaitSource,
    BatchDocument,
    BatchResult,
    ClosedJob,
    CloseJob,
    DocumentOutcome,
    DownloadBatch,
    DownloadProcess,
    FetchedProcess,
    FetchProcess,
    JobOptions,
    JobResult,
    Progress,
    RecordJob,
    SourceCheck,
    Steer,
)
from autos.contracts.reasons import Reason, WaitReason
from autos.contracts.retries import OUTAGE_DELAYS
from autos.contracts.states import JobStatus
from autos.contracts.temporal_names import JOBS_QUEUE, SOURCE_QUEUE, SOURCE_REFUSED, job_workflow_id
from workflows.download_process import DownloadProcessWorkflow

Answer = Callable[[BatchDocument], DocumentOutcome]


def available(wanted: BatchDocument) -> DocumentOutcome:
    """The document is downloaded."""
    return DocumentOutcome(position=wanted.position, size=100)


@dataclass
class FakeActivities:
    """A source with `total` documents; `answer` returns the outcome of each attempt."""

    total: int = 12
    answer: Answer = available
    fetches: list[FetchedProcess] = field(default_factory=list)
    """Results of the first fetches; later fetches return all documents as pending."""
    listing: Callable[[], Awaitable[None]] | None = None
    """When set, awaited before a fetch returns."""
    probes: Sequence[Reason | None] = ()
    """Results of the first checks of the source; later ones succeed."""
    held_back: bool = False
    """True if those refusals come from the circuit breaker."""
    failures: dict[str, list[str]] = field(default_factory=dict)
    """By activity: the error types of its next attempts."""
    gate: asyncio.Event | None = None
    """When set, batches wait for it."""
    batches: list[DownloadBatch] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    """The fairness key of each batch."""
    fetched: list[FetchProcess] = field(default_factory=list)
    probed: list[AwaitSource] = field(default_factory=list)
    """Every check of the source; an attempt that only starts the delay is not one."""
    waits: list[WaitReason | None] = field(default_factory=list)
    """The `waiting_for` after each check."""
    recorded: list[RecordJob] = field(default_factory=list)
    closed: list[CloseJob] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled_batches: int = 0
    closing: asyncio.Event | None = None
    """When set, `close_job` waits for it."""
    closes: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def tries(self) -> Counter[int]:
        """How often each position was requested."""
        return Counter(wanted.position for batch in self.batches for wanted in batch.documents)

    @activity.defn
    async def fetch_process(self, request: FetchProcess) -> FetchedProcess:
        self.fetched.append(request)
        self.fail("fetch_process")
        if self.listing is not None:
            await self.listing()
        if self.fetches:
            return self.fetches.pop(0)
        return FetchedProcess(states="p" * self.total, fetched_at=datetime.now(UTC))

    @activity.defn
    async def download_batch(self, request: DownloadBatch) -> BatchResult:
        self.batches.append(request)
        self.keys.append(activity.info().priority.fairness_key)
        self.started.set()
        self.fail("download_batch")
        try:
            if self.gate is not None:
                while not self.gate.is_set():
                    activity.heartbeat()
                    await asyncio.wait([asyncio.ensure_future(self.gate.wait())], timeout=0.1)
        except asyncio.CancelledError:
            self.cancelled_batches += 1
            raise
        return BatchResult(outcomes=[self.answer(wanted) for wanted in request.documents])

    @activity.defn
    async def await_source(self, request: AwaitSource) -> SourceCheck:
        """Like the real activity, without jitter and without a row."""
        tries = activity.info().attempt
        if request.waiting_for is not None and tries == 1 and request.delay_seconds:
            raise still_waiting(request.delay_seconds)
        self.probed.append(request)
        self.fail("await_source")
        check = SourceCheck(reason=self.refusal())
        check.held_back = check.reason is not None and self.held_back
        if check.reason is not None:
            check.delay_seconds = OUTAGE_DELAYS.delay_after(tries) * request.retry_unit_seconds
        self.waits.append(check.waiting_for)
        if check.waiting_for is not None and check.waiting_for is request.waiting_for:
            raise still_waiting(check.delay_seconds)
        return check

    def refusal(self) -> Reason | None:
        """The next scripted result of a check."""
        first, self.probes = (self.probes[0], self.probes[1:]) if self.probes else (None, ())
        return first

    def fail(self, name: str) -> None:
        """Raise the next scripted error of this activity, if any."""
        if self.failures.get(name):
            raise ApplicationError(
                "As scripted.",
                type=self.failures[name].pop(0),
                category=ApplicationErrorCategory.BENIGN,
            )

    @activity.defn
    async def record_job(self, request: RecordJob) -> None:
        self.fail("record_job")
        self.recorded.append(request)

    @activity.defn
    async def close_job(self, request: CloseJob) -> ClosedJob:
        self.closed.append(request)
        self.closes.set()
        self.fail("close_job")
        if self.closing is not None:
            await self.closing.wait()
        failed = request.states.count("f")
        status = request.status or (
            JobStatus.COMPLETED
            if not (failed or request.gave_up)
            else JobStatus.FAILED
            if failed == len(request.states)
            else JobStatus.COMPLETED_WITH_FAILURES
        )
        return ClosedJob(
            status=status,
            reason=request.reason,
            states=request.states.replace("d", "p"),
            bytes_stored=0,
            deliveries=[],
        )


async def duration(job: WorkflowHandle[DownloadProcessWorkflow, JobResult]) -> timedelta:
    """How long a job's only run took, by its server's clock."""
    events = (await job.fetch_history()).events
    return events[-1].event_time.ToDatetime() - events[0].event_time.ToDatetime()


@asynccontextmanager
async def workers(client: Client, fakes: FakeActivities, places: int = 20) -> AsyncIterator[None]:
    """Workers of both queues that run the real workflow on the fake activities."""
    async with (
        Worker(
            client,
            task_queue=JOBS_QUEUE,
            workflows=[DownloadProcessWorkflow],
            activities=[fakes.record_job, fakes.close_job],
        ),
        Worker(
            client,
            task_queue=SOURCE_QUEUE,
            activities=[fakes.fetch_process, fakes.download_batch, fakes.await_source],
            max_concurrent_activities=places,
            max_heartbeat_throttle_interval=timedelta(milliseconds=100),
        ),
    ):
        yield


async def start(
    client: Client,
    job_options: JobOptions | None = None,
    attach: Attach | None = None,
    number: str | None = None,
    fairness_key: str | None = None,
) -> WorkflowHandle[DownloadProcessWorkflow, JobResult]:
    """Start a job as the API does, by signal-with-start."""
    number = number or f"999{uuid.uuid4().int % 10**17:017}"
    return await client.start_workflow(
        DownloadProcessWorkflow.run,
        DownloadProcess(
            process_number=number, court="TRF3", job_options=job_options or JobOptions()
        ),
        id=job_workflow_id(number),
        task_queue=JOBS_QUEUE,
        start_signal="attach",
        start_signal_args=[attach or Attach()],
        priority=Priority(fairness_key=fairness_key),
    )


async def steer(job: WorkflowHandle[DownloadProcessWorkflow, JobResult], verb: str) -> Progress:
    """Pause or resume the job or retry its failed documents, as the API does."""
    shown: Progress = await job.execute_update(verb, Steer(), result_type=Progress)
    return shown


def still_waiting(seconds: float) -> ApplicationError:
    """The error that makes the server check the source again after this delay."""
    return ApplicationError(
        "Not yet.",
        type=SOURCE_REFUSED,
        next_retry_delay=timedelta(seconds=seconds),
        category=ApplicationErrorCategory.BENIGN,
    )


def refused(reason: Reason) -> Answer:
    """An answer with which every attempt fails for this reason."""
    return lambda wanted: DocumentOutcome(position=wanted.position, reason=reason)
