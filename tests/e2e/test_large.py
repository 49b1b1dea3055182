"""Large inputs: 5,000 documents with continue-as-new, and one file of 300 MiB."""

import json

import httpx2
import psutil  # type: ignore[import-untyped]  # publishes no types

from cli.stack import Stack
from tests.e2e.clients import Api, Sandbox, executions
from tests.e2e.test_main_job import number_of

MIB = 1024 * 1024
MANY = 5_000
"""Too many for one run: the server suggests continue-as-new after 4,096 events."""


async def test_thousands_of_documents_complete_over_several_runs(
    api: Api, sandbox: Sandbox, stack: Stack, http: httpx2.AsyncClient
) -> None:
    number = (await sandbox.new_case(MANY, size_bytes=200))["number"]
    await api.start(number, webhook_url=f"{sandbox.url}/receiver/large")
    last = 0.0
    async for status in api.status_polls(number, bound=400):
        assert status["progress_percentage"] >= last
        last = status["progress_percentage"]
    assert (status["status"], status["completed_documents"]) == ("completed", MANY)
    small = await api.status(number, documents="full")
    seen = {row["uuid"] for row in small["documents"]}
    cursor = small["documents_next"]
    while cursor:
        page = await api.request(
            "GET", f"/processes/{number}/documents", params={"cursor": cursor, "limit": 1000}
        )
        seen |= {row["uuid"] for row in page.json()["items"]}
        cursor = page.json()["next"]
    assert len(seen) == MANY
    counters = await sandbox.counters()
    assert set(counters["documents"].values()) == {1}
    runs = await executions(stack, http, f'ProcessNumber="{number}"')
    assert len(runs) > 1, "the job never continued as new"
    (request,) = await sandbox.received("large")
    data = json.loads(request["body"])["data"]
    assert (data["documents"], data["total_documents"]) == (None, MANY)
    assert len((await http.get(data["manifest_url"])).json()["documents"]) == MANY


async def test_file_of_300_mib_does_not_grow_the_workers_memory(
    api: Api, sandbox: Sandbox, stack: Stack
) -> None:
    """F41, F42: memory does not grow with the document, and nothing is left on disk."""
    number = await number_of(sandbox, "giant")
    truth = await sandbox.truth(number)
    worker = psutil.Process(stack.pid("worker"))
    before = most = worker.memory_info().rss
    await api.start(number)
    async for _ in api.status_polls(number, wait=0):
        most = max(most, worker.memory_info().rss)
    assert most - before < 64 * MIB
    status = await api.status(number, documents="full")
    assert status["status"] == "completed"
    known = {document["uuid"]: document["sha256"] for document in truth["documents"]}
    assert {row["uuid"]: row["sha256"] for row in status["documents"]} == known
    assert list((stack.data_dir / "spool").iterdir()) == []
