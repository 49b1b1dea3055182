"""Kill -9 of each part in the middle of a job. Seeded moments of any kind: tests/drills."""

import pytest

from cli.stack import Stack
from tests.e2e.clients import Api, Sandbox


@pytest.mark.parametrize("part", ["worker", "temporal", "postgres", "s3", "api"])
async def test_a_killed_part_loses_nothing(
    api: Api, sandbox: Sandbox, stack: Stack, part: str
) -> None:
    """F5: the same documents, the same hashes, one event id."""
    case = await sandbox.new_case(60, size_bytes=20_000)
    await sandbox.control("POST", "/switches", json={"latency_ms": 60})
    await api.start(case["number"], webhook_url=sandbox.receiver(f"killed-{part}"))
    async for status in api.polls(case["number"]):
        if status["completed_documents"] >= 10:
            break
    await stack.kill(part)
    await stack.wait_ready(part)
    status = await api.ended(case["number"])
    assert (status["status"], status["completed_documents"]) == ("completed", 60)
    known = {document["uuid"]: document["sha256"] for document in case["documents"]}
    assert {row["uuid"]: row["sha256"] for row in status["documents"]} == known
    for row in status["documents"]:
        assert await api.sha256(row["download_url"]) == row["sha256"]
    counters = await sandbox.counters()
    # What was on its way may be asked for again, once per kill; nothing that was done is.
    assert sum(counters["documents"].values()) <= 60 + 10
    requests = await sandbox.received(f"killed-{part}")
    assert len({request["headers"]["webhook-id"] for request in requests}) == 1
    deliveries = (await api.request("GET", "/webhooks/deliveries")).json()["items"]
    assert [one["process_number"] for one in deliveries].count(case["masked"]) == 1
