"""The job workflow of the API tests, under the real one's name and controlled by signals."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from autos.contracts import temporal_names
from autos.contracts.download import (
    Attach,
    AttachCheck,
    DownloadProcess,
    JobResult,
    Progress,
    Steer,
)
from autos.contracts.reasons import WaitReason
from autos.contracts.states import JobStatus

progress_queries: dict[str, int] = {}
"""Progress queries by case number; visible to tests, because the workflow is not sandboxed."""


@workflow.defn(name="DownloadProcessWorkflow", sandboxed=False)
class FakeJob:
    """Runs until a signal ends it; returns the progress that a signal set."""

    @workflow.init
    def __init__(self, request: DownloadProcess) -> None:
        self._request = request
        self._states = ""
        self._status = JobStatus.PENDING
        self._waiting_for: WaitReason | None = None
        self._attached: list[Attach] = []
        self._retried = 0
        self._woken = 0
        self._closing = False

    @workflow.run
    async def run(self, request: DownloadProcess) -> JobResult:
        """Wait for the end."""
        await workflow.wait_condition(lambda: self._status.ended, timeout=timedelta(minutes=2))
        return JobResult(
            job_id=workflow.info().first_execution_run_id,
            process_number=request.process_number,
            status=self._status,
            total=len(self._states),
            available=self._states.count("a"),
            failed=self._states.count("f"),
        )

    @workflow.signal
    def attach(self, request: Attach) -> None:
        """As the real one."""
        self._attached.append(request)

    @workflow.update
    def pause(self, request: Steer) -> Progress:
        """As the real one."""
        self._check(request)
        self._waiting_for = WaitReason.OPERATOR
        return self.progress()

    @workflow.update
    def resume(self, request: Steer) -> Progress:
        """As the real one."""
        self._check(request)
        self._waiting_for = None
        return self.progress()

    @workflow.update
    def retry_failed(self, request: Steer) -> Progress:
        """As the real one."""
        self._check(request)
        self._retried += 1
        return self.progress()

    @workflow.signal
    def credential_changed(self) -> None:
        """As the real one."""
        self._woken += 1

    @workflow.signal
    def show(self, states: str) -> None:
        """For tests: set the states of the documents."""
        self._states, self._status = states, JobStatus.PROCESSING

    @workflow.signal
    def end(self, status: JobStatus) -> None:
        """For tests: end with this status."""
        self._status = status

    def _check(self, request: Steer) -> None:
        if request.job_id != workflow.info().first_execution_run_id:
            raise ApplicationError("The job has ended.", type=temporal_names.JOB_ENDED)
        if self._closing:
            raise ApplicationError("The job is closing.", type=temporal_names.JOB_CLOSING)

    @workflow.signal
    def close(self) -> None:
        """For tests: refuse all further steering."""
        self._closing = True

    @workflow.query
    def check_attach(self, request: Attach) -> AttachCheck:
        """Like the real query, but any earlier fetch counts as fresh."""
        known = {attach.subscription_id for attach in self._attached}
        youngest = min((attach.max_age_seconds for attach in self._attached), default=0)
        return AttachCheck(
            job_id=workflow.info().first_execution_run_id,
            changes=request.subscription_id not in known | {None}
            or request.max_age_seconds < youngest,
        )

    @workflow.query
    def attached(self) -> list[Attach]:
        """For tests: the `attach` signals received."""
        return self._attached

    @workflow.query
    def retried(self) -> int:
        """For tests: the number of `retry_failed` updates."""
        return self._retried

    @workflow.query
    def woken(self) -> int:
        """For tests: the number of `credential_changed` signals."""
        return self._woken

    @workflow.query
    def progress(self) -> Progress:
        """As the real one."""
        number = self._request.process_number
        progress_queries[number] = progress_queries.get(number, 0) + 1
        return Progress(
            job_id=workflow.info().first_execution_run_id,
            process_number=number,
            status=self._status,
            waiting_for=self._waiting_for,
            states=self._states,
            total=len(self._states),
        )
