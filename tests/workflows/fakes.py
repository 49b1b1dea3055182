"""Activities under the real names that answer from a script, and a worker that runs them."""

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
    """Every document is there."""
    return DocumentOutcome(position=wanted.position, size=100)


@dataclass
class FakeActivities:
    """A source with `total` documents; `answer` says what becomes of each try."""

    total: int = 12
    answer: Answer = available
    fetches: list[FetchedProcess] = field(default_factory=list)
    """Answered first, one each; afterwards the listing."""
    listing: Callable[[], Awaitable[None]] | None = None
    """When set, awaited before the listing is told."""
    probes: Sequence[Reason | None] = ()
    """Why the source does not work when it is asked, once each; afterwards it works."""
    held_back: bool = False
    """Whether those refusals are our own breaker's."""
    troubles: dict[str, list[str]] = field(default_factory=dict)
    """Types of the errors that the next attempts of an activity fail with."""
    gate: asyncio.Event | None = None
    """When set, a batch waits for it."""
    batches: list[DownloadBatch] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    """The fairness key that each batch carried."""
    fetched: list[FetchProcess] = field(default_factory=list)
    probed: list[AwaitSource] = field(default_factory=list)
    """Every time the source was asked; a wait before the first question is none."""
    waits: list[WaitReason | None] = field(default_factory=list)
    """What the row was made to say after each of these."""
    recorded: list[RecordJob] = field(default_factory=list)
    closed: list[CloseJob] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled_batches: int = 0
    closing: asyncio.Event | None = None
    """When set, `close_job` waits for it."""
    closes: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def tries(self) -> Counter[int]:
        """How often each position was asked for."""
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
        """As the real one, but the delays are not drawn and no row is written."""
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
        """Why the source does not work at this moment, if it does not."""
        first, self.probes = (self.probes[0], self.probes[1:]) if self.probes else (None, ())
        return first

    def fail(self, name: str) -> None:
        """Raise what is scripted for the next attempt of this activity, if anything is."""
        if self.troubles.get(name):
            raise ApplicationError(
                "As scripted.",
                type=self.troubles[name].pop(0),
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
    """Have the job pause, resume or retry what failed, as the API does."""
    shown: Progress = await job.execute_update(verb, Steer(), result_type=Progress)
    return shown


def still_waiting(seconds: float) -> ApplicationError:
    """The source does not work yet; ask again in so many seconds."""
    return ApplicationError(
        "Not yet.",
        type=SOURCE_REFUSED,
        next_retry_delay=timedelta(seconds=seconds),
        category=ApplicationErrorCategory.BENIGN,
    )


def refused(reason: Reason) -> Answer:
    """Every try ends with this reason."""
    return lambda wanted: DocumentOutcome(position=wanted.position, reason=reason)
