"""Many callers of one process, many jobs on one worker, and restarts of the API."""

import asyncio

from cli.stack import Stack
from tests.e2e.clients import Api, Sandbox

JOBS = 100


async def test_fifty_parallel_starts_through_two_api_processes_share_one_job(
    api: Api, strict_api: Api, sandbox: Sandbox
) -> None:
    """F6: one job, fifty successful responses, one request to the source per document."""
    case = await sandbox.new_case(100, size_bytes=2000)
    number = case["number"]
    # 30 s of work, so every caller arrives while the job runs.
    await sandbox.control("POST", "/switches", json={"latency_ms": 1500})
    answers = await asyncio.gather(
        *(caller.start(number) for caller in (api, strict_api) for _ in range(25))
    )
    await sandbox.control("POST", "/switches", json={"latency_ms": 0})
    assert len({answer["job_id"] for answer in answers}) == 1
    for caller in (api, strict_api):
        status = await caller.ended(number)
        assert (status["status"], status["completed_documents"]) == ("completed", 100)
        assert status["job_id"] == answers[0]["job_id"]
    jobs = (await api.request("GET", "/jobs", params={"process_number": number})).json()["items"]
    assert [job["id"] for job in jobs] == [answers[0]["job_id"]]
    counters = await sandbox.counters()
    assert counters["documents"] == {document["uuid"]: 1 for document in case["documents"]}
    assert counters["requests_by_path"][f"/api/v2/processos/{case['masked']}"] == 1


async def test_hundred_jobs_complete_during_a_restart_of_the_api(
    api: Api, sandbox: Sandbox, stack: Stack
) -> None:
    """F1, F17, U1: no job is lost or affected, and the status shows the place in the queue."""
    cases = await sandbox.control("GET", "/cases")
    numbers = ["".join(filter(str.isdigit, cases[f"portfolio-{n}"])) for n in range(1, JOBS + 1)]
    # Hardly any document can arrive until the API is gone.
    await sandbox.control("POST", "/switches", json={"latency_ms": 3000})
    await stack.stop("worker")
    started = [(await api.start(number))["job_id"] for number in numbers]
    last = await api.status(numbers[-1])
    assert (last["status"], last["live"]) == ("pending", False)
    assert last["jobs_ahead"] == JOBS - 1
    stack.start("worker")
    await stack.stop("api")
    before = await documents_requested(sandbox)
    assert before < JOBS
    await sandbox.control("POST", "/switches", json={"latency_ms": 100})
    async for _ in api.poll():
        # The workers continue without the API.
        if await documents_requested(sandbox) >= min(before + 10, JOBS):
            break
    stack.start("api")
    await stack.wait_ready("api")
    async for _ in api.poll():
        if not await any_job_runs(api):
            break
    ends = [await api.status(number) for number in numbers]
    assert {(end["status"], end["completed_documents"]) for end in ends} == {("completed", 1)}
    assert [end["job_id"] for end in ends] == started
    assert len(set(started)) == JOBS
    counters = await sandbox.counters()
    assert list(counters["documents"].values()) == [1] * JOBS


async def documents_requested(sandbox: Sandbox) -> int:
    """The number of documents that the source was asked for."""
    return len((await sandbox.counters())["documents"])


async def any_job_runs(api: Api) -> bool:
    """True if any job has not ended."""
    pages = [
        await api.request("GET", "/jobs", params={"status": status, "limit": 1})
        for status in ("pending", "processing")
    ]
    return any(page.json()["items"] for page in pages)
