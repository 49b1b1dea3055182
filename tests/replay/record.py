"""Records histories for replay: `python -m tests.replay.record` runs each on a real server.

`python -m tests.replay.record NAME …` records only these.

Run it only when a change of workflow code may break replay and no affected workflow runs in
production. Otherwise keep the histories and use `workflow.patched`.
"""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from autos.contracts.download import BatchDocument, DocumentOutcome, FetchedProcess, JobOptions
from autos.contracts.reasons import Reason
from autos.contracts.temporal_names import INTERNAL_ERROR, RECORDS, SEARCH_ATTRIBUTES
from tests.workflows.conftest import BINARIES, DEV_SERVER_FLAGS
from tests.workflows.fakes import FakeActivities, available, start, steer, workers
from tests.workflows.reconcile_fakes import reconciled
from tests.workflows.test_stragglers import SlowDocuments
from tests.workflows.webhook_fakes import delivered_late, refused_for_good
from workflows.download_process import DownloadProcessWorkflow

HISTORIES: Final = Path(__file__).parent / "histories"
Job = WorkflowHandle[Any, Any]


async def happy(client: Client) -> Job:
    """Twelve documents without a failure."""
    async with workers(client, FakeActivities(total=12)):
        job = await start(client)
        await job.result()
    return job


async def retries(client: Client) -> Job:
    """An outage at the listing, transient and final refusals, a refused credential."""

    def answer(wanted: BatchDocument) -> DocumentOutcome:
        if wanted.position == 2:
            return DocumentOutcome(position=2, reason=Reason.SECRET, final=True)
        if wanted.position in (4, 9) and wanted.attempt < 3:
            return DocumentOutcome(position=wanted.position, reason=Reason.STUB)
        if wanted.position == 11 and wanted.attempt < 2:
            return DocumentOutcome(position=11, reason=Reason.CREDENTIAL)
        return available(wanted)

    fakes = FakeActivities(
        answer=answer,
        fetches=[FetchedProcess(reason=Reason.UNAVAILABLE)] * 2,
        probes=[Reason.UNAVAILABLE, Reason.CREDENTIAL, None],
    )
    async with workers(client, fakes):
        job = await start(client, JobOptions(retry_unit_seconds=0.01))
        await job.result()
    return job


async def cancelled(client: Client) -> Job:
    """Cancelled in the middle of a batch."""
    fakes = FakeActivities(gate=asyncio.Event())
    async with workers(client, fakes):
        job = await start(client)
        await fakes.started.wait()
        await job.cancel()
        try:
            await job.result()
        except WorkflowFailureError:
            return job
    raise RuntimeError("The job ended without being cancelled.")


async def paused(client: Client) -> Job:
    """Paused by an operator, then resumed."""
    fakes = FakeActivities(gate=asyncio.Event())
    async with workers(client, fakes):
        job = await start(client)
        await fakes.started.wait()
        await steer(job, "pause")
        if fakes.gate:
            fakes.gate.set()
        while (await job.query(DownloadProcessWorkflow.progress)).processing:
            await asyncio.sleep(0)
        await steer(job, "resume")
        await job.result()
    return job


async def continued(client: Client) -> Job:
    """Continued as new several times; the kept history is the last run's."""
    async with workers(client, FakeActivities(total=60)):
        job = await start(client, JobOptions(continue_as_new_after=30))
        await job.result()
    return client.get_workflow_handle_for(DownloadProcessWorkflow.run, job.id)


async def waited_for_records(client: Client) -> Job:
    """The records are unavailable at the listing and at a batch."""
    failures = {"fetch_process": [RECORDS] * 5, "download_batch": [RECORDS] * 5}
    async with workers(client, FakeActivities(total=3, failures=failures)):
        job = await start(client)
        await job.result()
    return job


async def straggler(client: Client) -> Job:
    """Both batches in flight have a slow document; the others complete meanwhile."""
    fakes = SlowDocuments(total=20)
    fakes.slow, fakes.released = frozenset({0, 7}), asyncio.Event()
    async with workers(client, fakes):
        job = await start(client)
        while (await job.query(DownloadProcessWorkflow.progress)).available < 10:
            await asyncio.sleep(0)
        fakes.released.set()
        await job.result()
    return job


async def defect(client: Client) -> Job:
    """A batch and the closing fail with a defect; the job is closed without a manifest."""
    failures = {"download_batch": [INTERNAL_ERROR] * 4, "close_job": [INTERNAL_ERROR] * 4}
    async with workers(client, FakeActivities(total=3, failures=failures)):
        job = await start(client)
        await job.result()
    return job


SHAPES: Final[dict[str, Callable[[Client], Awaitable[Job]]]] = {
    shape.__name__: shape
    for shape in (
        happy,
        retries,
        cancelled,
        paused,
        continued,
        waited_for_records,
        straggler,
        defect,
        delivered_late,
        refused_for_good,
        reconciled,
    )
}


async def main() -> None:
    """Run every shape and write its history."""
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        dev_server_existing_path=str(BINARIES / "temporal"),
        dev_server_extra_args=DEV_SERVER_FLAGS,
        search_attributes=SEARCH_ATTRIBUTES,
    ) as environment:
        HISTORIES.mkdir(exist_ok=True)
        for name in sys.argv[1:] or SHAPES:
            shape = SHAPES[name]
            async with asyncio.timeout(120):
                job = await shape(environment.client)
                history = await job.fetch_history()
            # Stack traces contain paths of the recording machine and are not needed for replay.
            text = re.sub(r'("stackTrace": )"(?:[^"\\]|\\.)*"', r'\1""', history.to_json())
            (HISTORIES / f"{name}.json").write_text(text + "\n")
    # The interpreter must not exit during the last RPC.
    await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main())
