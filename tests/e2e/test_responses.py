"""Invalid requests get a problem document; outages and refused credentials make jobs wait."""

from typing import Any

import httpx2
import pytest

from autos.cnj import CaseNumber
from tests.e2e.clients import Api, Sandbox
from tests.e2e.test_main_job import number_of, request_counts


def problem(reply: httpx2.Response, status: int) -> dict[str, Any]:
    """The problem document of a refused request (RFC 9457)."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = reply.json()
    assert body["status"] == status
    assert body["type"].startswith("urn:autos:problem:")
    assert body["request_id"]
    return body


async def test_wrong_check_digits_are_rejected_without_a_request_to_the_source(
    api: Api, sandbox: Sandbox
) -> None:
    """F38."""
    reply = await api.request("POST", "/processes/9990001-22.2024.4.03.6100/downloads", json={})
    assert "check digits" in problem(reply, 400)["detail"]
    assert (await sandbox.counters())["requests_total"] == 0


async def test_unknown_process_returns_404(api: Api, sandbox: Sandbox) -> None:
    number = CaseNumber.build(9_998_001, 2024, 4, 3, 6100)
    problem(await api.request("GET", f"/processes/{number.digits}"), 404)
    status = await api.ended(number.digits)
    assert (status["status"], status["reason"]) == ("failed", "not_found")


async def test_secret_process_returns_403(api: Api, sandbox: Sandbox) -> None:
    number = await number_of(sandbox, "secret")
    problem(await api.request("GET", f"/processes/{number}"), 403)


async def test_missing_api_key_returns_401(api: Api) -> None:
    reply = await api.http.get(f"{api.url}/api/v1/processes/99900012120244036100/status")
    problem(reply, 401)
    assert "www-authenticate" in reply.headers


@pytest.mark.parametrize("fault", ["unavailable_503_html", "connection_reset", "waf_html"])
async def test_job_waits_during_an_outage_and_continues_by_itself(
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


async def test_expired_token_pauses_every_job_and_fails_no_document(
    api: Api, sandbox: Sandbox
) -> None:
    """F16: the token expires after 40 of 173 documents; all jobs complete after a new token.

    No finished document is requested again, and the expired refresh token is used once.
    """
    mortal = await sandbox.control("POST", "/tokens", json={})
    assert await set_credential(api, mortal) == 0
    case = await sandbox.new_case(173, size_bytes=2000, shape="listed-twice")
    others = [await sandbox.new_case(7, size_bytes=2000, seed=seed) for seed in (1, 2)]
    # After 40 documents the rest takes several seconds more, so the token dies among them.
    await sandbox.control("POST", "/switches", json={"latency_ms": 400})
    await api.start(case["number"])
    async for status in api.status_polls(case["number"]):
        if status["completed_documents"] >= 40:
            break
    # Revokes all tokens, including the refresh token.
    await sandbox.control("POST", "/tokens/revoke", json={})
    await sandbox.control("POST", "/switches", json={"latency_ms": 60})
    for other in others:
        await api.start(other["number"])
    numbers = [one["number"] for one in (case, *others)]
    for number in numbers:
        waiting = await api.until_waiting(number, "credential")
        assert waiting["failed_documents"] == 0
        assert waiting["waiting_since"]
    waiting = await api.status(numbers[0], documents="full")
    finished = {row["uuid"] for row in waiting["documents"] if row["status"] == "available"}
    assert 40 <= len(finished) < 173
    # The status shows a wait before the job's row does; a new credential wakes by the rows.
    async for _ in api.poll():
        if (await api.request("GET", "/credentials/pdpj")).json()["waiting_jobs"] == 3:
            break
    # The next tests use this token, too: it is valid for eight hours.
    assert await set_credential(api, await sandbox.control("POST", "/tokens", json={})) == 3
    for number, documents in zip(numbers, (173, 7, 7), strict=True):
        status = await api.ended(number)
        assert (status["status"], status["completed_documents"]) == ("completed", documents)
    counters = await sandbox.counters()
    copies = [document["uuids"] for document in case["documents"]]
    times = [sum(request_counts(counters, uuids)) for uuids in copies]
    assert [sum(request_counts(counters, uuids)) for uuids in copies if finished & set(uuids)] == (
        [1] * len(finished)
    )
    # Requests in flight were refused with the expired token, perhaps also with the one that was
    # just set, and succeeded with the new one. Nothing else was requested again.
    assert max(times) <= 3
    assert sum(count > 1 for count in times) <= 10
    refreshes = [n for path, n in counters["requests_by_path"].items() if path.endswith("/token")]
    assert refreshes == [1]


async def set_credential(api: Api, tokens: dict[str, Any]) -> int:
    """Set the source's credential and return the number of jobs that it woke."""
    body = {name: tokens[name] for name in ("access_token", "refresh_token")}
    reply = await api.request("PUT", "/credentials/pdpj", json=body)
    assert reply.status_code == 200, reply.text
    woken: int = reply.json()["woken_jobs"]
    return woken


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
    """F12, F16: only the document itself is stored."""
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
