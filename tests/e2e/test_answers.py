"""Bad input and bad days get a clear answer: a problem document, or a job that waits."""

import asyncio
from typing import Any

import httpx2
import pytest

from autos.cnj import CaseNumber
from tests.e2e.clients import Api, Sandbox
from tests.e2e.test_main_job import number_of


def problem(reply: httpx2.Response, status: int) -> dict[str, Any]:
    """The problem document of a refused request (RFC 9457)."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = reply.json()
    assert body["status"] == status
    assert body["type"].startswith("urn:autos:problem:")
    assert body["request_id"]
    return body


async def test_wrong_check_digits_are_refused_with_the_reason_and_ask_nobody(
    api: Api, sandbox: Sandbox
) -> None:
    """F38."""
    reply = await api.request("POST", "/processes/9990001-22.2024.4.03.6100/downloads", json={})
    assert "check digits" in problem(reply, 400)["detail"]
    assert (await sandbox.counters())["requests_total"] == 0


async def test_a_process_nobody_knows_is_404(api: Api, sandbox: Sandbox) -> None:
    number = CaseNumber.build(9_998_001, 2024, 4, 3, 6100)
    problem(await api.request("GET", f"/processes/{number.digits}"), 404)
    status = await api.ended(number.digits)
    assert (status["status"], status["reason"]) == ("failed", "not_found")


async def test_a_process_closed_to_us_is_403(api: Api, sandbox: Sandbox) -> None:
    number = await number_of(sandbox, "secret")
    problem(await api.request("GET", f"/processes/{number}"), 403)


async def test_no_key_is_401(api: Api) -> None:
    reply = await api.http.get(f"{api.url}/api/v1/processes/99900012120244036100/status")
    problem(reply, 401)
    assert "www-authenticate" in reply.headers


@pytest.mark.parametrize("fault", ["unavailable_503_html", "connection_reset", "waf_html"])
async def test_a_source_that_is_down_is_a_waiting_job_that_goes_on_by_itself(
    api: Api, sandbox: Sandbox, fault: str
) -> None:
    """202 with a waiting job, not a 500; the outage uses no attempts."""
    case = await sandbox.new_case(8, size_bytes=2000)
    async with sandbox.fault(fault, case["number"]):
        reply = await api.request("GET", f"/processes/{case['number']}")
        assert reply.status_code == 202
        waiting = await api.until_waiting(case["number"], "source")
        assert (waiting["status"], waiting["failed_documents"]) == ("pending", 0)
    status = await api.ended(case["number"])
    assert (status["status"], status["completed_documents"]) == ("completed", 8)


async def test_a_token_that_dies_stops_the_job_and_fails_no_document(
    api: Api, sandbox: Sandbox
) -> None:
    """F16: the job waits, a new token finishes it, no finished document is asked for again."""
    case = await sandbox.new_case(100, size_bytes=2000)
    await sandbox.control("POST", "/switches", json={"latency_ms": 150})
    await api.start(case["number"])
    async for status in api.polls(case["number"]):
        if status["completed_documents"] >= 5:
            break
    await sandbox.control("POST", "/tokens/revoke", json={})
    waiting = await api.until_waiting(case["number"], "credential")
    assert waiting["failed_documents"] == 0
    # Left in place for the tests after this one: it lives for eight hours.
    new = await sandbox.control("POST", "/tokens", json={})
    body = {"access_token": new["access_token"]}
    reply = await api.request("PUT", "/credentials/pdpj", json=body)
    assert reply.status_code == 200, reply.text
    status = await api.ended(case["number"])
    assert (status["status"], status["completed_documents"]) == ("completed", 100)
    counters = await sandbox.counters()
    # The two batches at work when the token died were asked for once more, and nothing else.
    assert sum(counters["documents"].values()) <= 110
    assert len(counters["documents"]) == 100


FAULTS = {
    "stub_codex_down": "stub",
    "json_error_200": "error_body",
    "empty_200": "empty",
    "maintenance_html_200": "error_body",
    "shell_200": "shell",
    "truncated": "truncated",
    "chunked_truncated": "truncated",
    "codex_500": "document_error",
    "secret_piece_403": "secret",
    "no_access": "no_access",
    "not_found_404": "not_found",
    "rate_limited": "rate_limited",
    "bad_gateway_html": "unavailable",
}


async def test_each_fault_of_one_document_has_its_own_reason(api: Api, sandbox: Sandbox) -> None:
    """F12, F16: nothing that is not the document is ever stored as one."""
    case = await sandbox.new_case(len(FAULTS) + 3, size_bytes=4000)
    uuids = [document["uuid"] for document in case["documents"]]
    for uuid, fault in zip(uuids, FAULTS, strict=False):
        body = {"fault": fault, "process": case["number"], "document": uuid}
        await sandbox.control("POST", "/faults", json=body | {"when": {"mode": "always"}})
    await api.start(case["number"])
    status = await api.ended(case["number"])
    rows = {row["uuid"]: row for row in status["documents"]}
    found = {fault: rows[uuid]["reason"] for uuid, fault in zip(uuids, FAULTS, strict=False)}
    assert found == FAULTS
    assert status["completed_documents"] == 3
    assert all(rows[uuid]["sha256"] is None for uuid in uuids[: len(FAULTS)])


async def test_eight_callers_get_one_job(api: Api, sandbox: Sandbox) -> None:
    """F6: N parallel requests for one process, one job, the source asked once per document."""
    case = await sandbox.new_case(10, size_bytes=2000)
    answers = await asyncio.gather(*(api.start(case["number"]) for _ in range(8)))
    assert len({answer["job_id"] for answer in answers}) == 1
    await api.ended(case["number"])
    counters = await sandbox.counters()
    assert set(counters["documents"].values()) == {1}
    jobs = await api.request("GET", "/jobs", params={"process_number": case["number"]})
    assert len(jobs.json()["items"]) == 1
