"""Operators steer running jobs: by REST, CLI, and an update as in the Web UI."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import httpx2
from temporalio.client import Client

from autos.cnj import CaseNumber
from cli.stack import Stack
from tests.e2e.clients import BOUND, Api, Sandbox, executions
from tests.e2e.test_main_job import request_counts

MIB = 1024 * 1024


def spooled(stack: Stack) -> list[str]:
    """The open files in the worker's spool folder; they are already unlinked."""
    links = Path(f"/proc/{stack.pid('worker')}/fd").iterdir()
    opened = [str(link.readlink()) for link in links if link.is_symlink()]
    return [name for name in opened if name.startswith(str(stack.data_dir / "spool"))]


def stored(stack: Stack, number: str) -> set[str]:
    """The names of the stored objects of a process."""
    folder = stack.data_dir / "objects" / "autos" / "processes" / number
    return {path.name for path in folder.glob("*")}


async def autos(stack: Stack, *arguments: str) -> str:
    """Run the CLI and return its output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", *arguments, "--data-dir", str(stack.data_dir)),
        env={name: value for name, value in os.environ.items() if not name.startswith("AUTOS_")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(BOUND):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_stalled_court_does_not_block_others_and_its_jobs_can_be_cancelled(
    api: Api, sandbox: Sandbox, stack: Stack
) -> None:
    """U3, F11, F42: requests stop, no partial file is left, and subscribers are notified."""
    # Uses a separate court: other tests may have lowered the limit of theirs for a while.
    numbers = (CaseNumber.build(9_997_201 + place, 2024, 5, 9, 1).digits for place in range(3))
    large = await sandbox.new_case(8, size_bytes=18 * MIB, number=next(numbers))
    small = await sandbox.new_case(8, size_bytes=2000, number=next(numbers))
    only_bad = await sandbox.new_case(4, size_bytes=2000, number=next(numbers))
    stalled = (large, small, only_bad)
    for case in stalled:
        for uuid in uuids_of(case)[:4]:
            # Sends half of the body, then nothing until the client disconnects.
            body = {"fault": "stall", "process": case["number"], "document": uuid}
            await sandbox.control("POST", "/faults", json=body)
    jobs = []
    for case in stalled:
        hook = sandbox.receiver(case["number"])
        jobs.append((await api.start(case["number"], webhook_url=hook))["job_id"])
        async with asyncio.timeout(BOUND):
            # The job counts documents only when their batch has ended.
            while len(stored(stack, case["number"])) < len(uuids_of(case)) - 4:
                await asyncio.sleep(0.05)
    async with asyncio.timeout(BOUND):
        # The limit of one court; half of a large document does not fit into the spool's memory.
        while (await sandbox.counters())["in_flight_now"] < 11 or len(spooled(stack)) < 4:
            await asyncio.sleep(0.05)
    other = CaseNumber.build(9_997_101, 2024, 4, 3, 6100)
    await sandbox.new_case(7, size_bytes=2000, number=other.digits)
    await api.start(other.digits)
    assert (await api.ended(other.digits))["status"] == "completed"
    output = await autos(stack, "jobs", "cancel", *jobs)
    assert output.count("is being cancelled") == 3
    for case in stalled:
        number = case["number"]
        status = await api.ended(number)
        assert status["status"] == "cancelled"
        available = {row["uuid"] for row in status["documents"] if row["status"] == "available"}
        assert available == set(uuids_of(case)[4:])
        hashes = {row["sha256"] for row in status["documents"] if row["sha256"]}
        assert stored(stack, number) == hashes | {"manifest.json"}
        (request,) = await sandbox.received(number)
        assert '"process.download.cancelled"' in request["body"]
    # The source and the worker notice the closed connections in their own time, but well before
    # the stalled bodies would have ended by themselves.
    async with asyncio.timeout(BOUND / 4):
        while (await sandbox.counters())["in_flight_now"] or spooled(stack):
            await asyncio.sleep(0.05)
    assert list((stack.data_dir / "spool").iterdir()) == []


async def test_many_jobs_are_paused_and_resumed(
    api: Api, sandbox: Sandbox, stack: Stack, http: httpx2.AsyncClient
) -> None:
    """By the bulk command and by update: status, records and Web UI show the wait."""
    await sandbox.control("POST", "/switches", json={"latency_ms": 800})
    # 32 s of work each, so no job ends before the command runs.
    cases = [await sandbox.new_case(200, size_bytes=2000, seed=seed) for seed in (1, 2, 3)]
    numbers = [case["number"] for case in cases]
    jobs = [(await api.start(number))["job_id"] for number in numbers]
    # By the rows, as the command selects them.
    async for _ in api.poll():
        if set(jobs) <= set(await listed_as_processing(api)):
            break
    output = await autos(stack, "jobs", "pause", "--status", "processing", "--yes")
    assert "3 jobs" in output
    for number, job in zip(numbers, jobs, strict=True):
        status = await api.until_waiting(number, "operator")
        assert status["waiting_since"]
        assert (status["status"], status["eta_seconds"]) == ("processing", None)
        await recorded_wait(api, job, "operator")
        (listed,) = await executions(
            stack, http, f'ProcessNumber="{number}" AND WaitingFor="operator"'
        )
        assert listed["execution"]["runId"] == job
        assert "WaitingSince" in listed["searchAttributes"]["indexedFields"]
    # Nothing new is requested once the requests in flight are stored and counted.
    waiting = [await settled(api, number) for number in numbers]
    await sandbox.control("POST", "/switches", json={"latency_ms": 0})
    before = (await sandbox.counters())["requests_total"]
    assert all(status["pending_documents"] > 0 for status in waiting)
    client = await Client.connect(stack.settings_environment()["TEMPORAL_ADDRESS"])
    handle = client.get_workflow_handle(f"download-process/{numbers[0]}")
    await handle.execute_update("resume", {})
    assert (await api.ended(numbers[0]))["status"] == "completed"
    counters = await sandbox.counters()
    assert counters["requests_total"] - before == waiting[0]["pending_documents"]
    await autos(stack, "jobs", "resume", *jobs[1:])
    for number, case in zip(numbers, cases, strict=True):
        status = await api.ended(number)
        assert (status["status"], status["waiting_for"]) == ("completed", None)
        uuids = [document["uuid"] for document in case["documents"]]
        assert request_counts(await sandbox.counters(), uuids) == [1] * len(uuids)


async def test_retry_failed_requests_only_failed_documents(api: Api, sandbox: Sandbox) -> None:
    """An ended job gets a successor that requests nothing else."""
    case = await sandbox.new_case(12, size_bytes=2000)
    number = case["number"]
    first, second = case["documents"][2]["uuid"], case["documents"][7]["uuid"]
    async with (
        sandbox.fault("secret_piece_403", number, first),
        sandbox.fault("not_found_404", number, second),
    ):
        job = (await api.start(number))["job_id"]
        assert (await api.ended(number))["failed_documents"] == 2
    # The new document is not requested.
    await sandbox.control("POST", f"/cases/{number}/change", json={"add": 1})
    successor = (await api.steer(job, "retry-failed"))["job_id"]
    assert successor != job
    status = await api.ended(number)
    assert (status["status"], status["completed_documents"]) == ("completed", 12)
    counters = await sandbox.counters()
    times = {uuid: 2 if uuid in (first, second) else 1 for uuid in uuids_of(case)}
    assert counters["documents"] == times
    assert counters["requests_by_path"][f"/api/v2/processos/{case['masked']}"] == 1


async def recorded_wait(api: Api, job_id: str, reason: str) -> None:
    """Wait until the job's row has this `waiting_for`."""
    async with asyncio.timeout(BOUND):
        while True:
            job = (await api.request("GET", f"/jobs/{job_id}")).json()
            if job["waiting_for"] == reason:
                assert job["waiting_since"]
                return
            await asyncio.sleep(0.05)


async def listed_as_processing(api: Api) -> list[str]:
    """The ids of the jobs whose rows say that they are processing."""
    page = await api.request("GET", "/jobs", params={"status": "processing"})
    return [job["id"] for job in page.json()["items"]]


async def settled(api: Api, number: str) -> dict[str, Any]:
    """Wait until no document of a paused job is processing, and return the status."""
    async with asyncio.timeout(BOUND):
        while (status := await api.status(number))["processing_documents"]:
            await asyncio.sleep(0.05)
    return status


def uuids_of(case: dict[str, Any]) -> list[str]:
    """The source's ids of a case's documents."""
    return [document["uuid"] for document in case["documents"]]
