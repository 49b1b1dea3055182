"""The main job through the real parts: a case number in, every document verified in S3, status."""

import hashlib
import re
from urllib.parse import unquote

import httpx2

from tests.e2e.clients import Api, Sandbox


async def number_of(sandbox: Sandbox, name: str) -> str:
    """The bare number of a case of the sandbox's catalogue."""
    cases = await sandbox.control("GET", "/cases")
    return "".join(filter(str.isdigit, cases[name]))


def asked(counters: dict[str, object], uuids: list[str]) -> list[int]:
    """How often each of these documents was asked for."""
    documents = counters["documents"]
    assert isinstance(documents, dict)
    return [documents.get(uuid, 0) for uuid in uuids]


async def test_43_documents_of_every_kind_arrive_with_their_hashes(
    api: Api, sandbox: Sandbox, http: httpx2.AsyncClient
) -> None:
    """F2, F7, F13, F15, F16, U5: by one GET of an unknown process and no webhook."""
    number = await number_of(sandbox, "demo")
    truth = await sandbox.truth(number)
    first = await api.request("GET", f"/processes/{number}")
    assert first.status_code in (200, 202)
    status = await api.ended(number)
    assert status["status"] == "completed_with_failures"
    assert (status["total_documents"], status["completed_documents"]) == (43, 41)
    assert status["progress_percentage"] == 100
    by_uuid = {document["uuid"]: document for document in status["documents"]}
    for known in truth["documents"]:
        document = by_uuid[known["uuid"]]
        if known["failure"]:
            assert document["status"] == "failed"
            assert document["error_message"]
        else:
            assert (document["sha256"], document["size"]) == (known["sha256"], known["size"])
            assert await api.sha256(document["download_url"]) == known["sha256"]
    reasons = {document["reason"] for document in status["documents"]} - {None}
    assert reasons == {"secret", "document_error"}
    manifest = (await api.request("GET", f"/processes/{number}/manifest")).json()
    assert manifest["total_documents"] == 43
    assert manifest["available_documents"] + manifest["failed_documents"] == 43


async def test_a_case_listed_twice_is_asked_for_once(api: Api, sandbox: Sandbox) -> None:
    """F28: 173 documents from two sources are 173, each asked for once, five at a time (F40)."""
    number = await number_of(sandbox, "listed-twice")
    truth = await sandbox.truth(number)
    await sandbox.control("POST", "/switches", json={"latency_ms": 20})
    await api.start(number)
    polls, last = 0, 0.0
    async for status in api.polls(number, wait=0):
        states = ("pending", "processing", "completed", "failed")
        assert sum(status[f"{state}_documents"] for state in states) == status["total_documents"]
        assert status["progress_percentage"] >= last
        last, polls = status["progress_percentage"], polls + 1
    assert polls >= 20
    assert (status["total_documents"], status["completed_documents"]) == (173, 173)
    counters = await sandbox.counters()
    copies = [document["uuids"] for document in truth["documents"]]
    assert [sum(asked(counters, uuids)) for uuids in copies] == [1] * 173
    assert counters["in_flight_max"] == 5


async def test_two_instances_are_merged_and_equal_content_is_stored_once(
    api: Api, sandbox: Sandbox
) -> None:
    number = await number_of(sandbox, "two-instances")
    truth = await sandbox.truth(number)
    await api.start(number)
    status = await api.ended(number)
    assert status["status"] == "completed"
    assert status["total_documents"] == len(truth["documents"])
    hashes = [document["sha256"] for document in status["documents"]]
    assert sorted(hashes) == sorted(document["sha256"] for document in truth["documents"])
    assert len(set(hashes)) < len(hashes)
    manifest = (await api.request("GET", f"/processes/{number}/manifest")).json()
    keys = {document["key"] for document in manifest["documents"]}
    assert keys == {f"processes/{number}/{sha256}" for sha256 in hashes}


async def test_names_come_back_intact(api: Api, sandbox: Sandbox, http: httpx2.AsyncClient) -> None:
    """Accents, slashes, 300 characters, and many documents of one name (F9)."""
    number = await number_of(sandbox, "demo")
    await api.start(number)
    status = await api.ended(number)
    names = set()
    for document in status["documents"]:
        if document["status"] != "available":
            continue
        content = await api.request(
            "GET", f"/processes/{number}/documents/{document['id']}/content"
        )
        assert content.status_code == 307
        reply = await http.get(content.headers["location"])
        header = reply.headers["content-disposition"]
        match = re.search(r"filename\*=UTF-8''([^;]+)", header)
        name = unquote(match.group(1)) if match else header.split('filename="')[1][:-1]
        # A name that does not say its type gets the ending of its type behind it.
        assert name.startswith((document["name"] or "").strip())
        assert hashlib.sha256(reply.content).hexdigest() == document["sha256"]
        names.add(name)
    assert any(len(name) >= 300 for name in names)
    assert any("/" in name for name in names)
    assert any("ç" in name or "ã" in name for name in names)


async def test_a_second_run_asks_only_for_what_is_missing(api: Api, sandbox: Sandbox) -> None:
    """F4, F22: after a partial failure; and what is held is neither asked for nor undone."""
    case = await sandbox.new_case(12, size_bytes=3000)
    broken = case["documents"][5]["uuid"]
    async with sandbox.fault("not_found_404", case["number"], broken):
        await api.start(case["number"])
        assert (await api.ended(case["number"]))["failed_documents"] == 1
    await sandbox.reset()
    await api.start(case["number"], force_refresh=True)
    status = await api.ended(case["number"])
    assert (status["status"], status["completed_documents"]) == ("completed", 12)
    counters = await sandbox.counters()
    assert counters["documents"] == {broken: 1}
    mended = next(row for row in status["documents"] if row["uuid"] == broken)
    assert mended["attempts"] == 1


async def test_force_refresh_brings_new_documents(api: Api, sandbox: Sandbox) -> None:
    """F24: a document that came later is downloaded, one that vanished is kept."""
    case = await sandbox.new_case(6, size_bytes=3000)
    await api.start(case["number"])
    before = await api.ended(case["number"])
    assert before["total_documents"] == 6
    await sandbox.control("POST", f"/cases/{case['number']}/change", json={"add": 2, "remove": 0})
    await api.start(case["number"], force_refresh=True)
    status = await api.ended(case["number"])
    assert (status["total_documents"], status["completed_documents"]) == (8, 8)
    assert status["job_id"] != before["job_id"]


async def test_one_failure_is_made_up_for_by_one_more_request(api: Api, sandbox: Sandbox) -> None:
    """F3."""
    case = await sandbox.new_case(6, size_bytes=3000)
    document = case["documents"][2]["uuid"]
    async with sandbox.fault(
        "stub_circuit_breaker", case["number"], document, mode="first", count=1
    ):
        await api.start(case["number"])
        status = await api.ended(case["number"])
    assert status["status"] == "completed"
    counters = await sandbox.counters()
    assert sorted(counters["documents"].values()) == [1, 1, 1, 1, 1, 2]
    retried = next(row for row in status["documents"] if row["uuid"] == document)
    assert retried["attempts"] == 2


async def test_a_retry_after_holds_back_the_court_and_uses_no_attempts(
    api: Api, sandbox: Sandbox
) -> None:
    """One document's 429 is for all; what was held back meanwhile is in no one's attempts."""
    cases = [await sandbox.new_case(20, size_bytes=2000, seed=seed) for seed in (21, 22)]
    document = cases[0]["documents"][7]["uuid"]
    async with sandbox.fault(
        "rate_limited_retry_after", cases[0]["number"], document, mode="first", count=2
    ):
        for case in cases:
            await api.start(case["number"])
        rows = []
        for case in cases:
            status = await api.ended(case["number"])
            assert status["status"] == "completed"
            rows += status["documents"]
    counters = await sandbox.counters()
    assert sorted(counters["documents"].values()) == [1] * 39 + [3]
    assert sorted(row["attempts"] for row in rows) == [1] * 39 + [3]


async def test_many_jobs_stay_under_the_bound(api: Api, sandbox: Sandbox) -> None:
    """F9, F45: each job's five, never more than the configured bound over all of them."""
    await sandbox.control("POST", "/switches", json={"latency_ms": 30})
    cases = [await sandbox.new_case(20, size_bytes=2000, seed=seed) for seed in range(6)]
    for case in cases:
        await api.start(case["number"])
    for case in cases:
        status = await api.ended(case["number"])
        assert status["status"] == "completed"
        known = {document["uuid"]: document["sha256"] for document in case["documents"]}
        assert {row["uuid"]: row["sha256"] for row in status["documents"]} == known
    counters = await sandbox.counters()
    # The bound is 12, and a tenth of it is kept for other courts than this one. A busy machine may
    # not fill it, but jobs do run side by side.
    assert 5 < counters["in_flight_max"] <= 11
    assert max(counters["in_flight_max_by_process"].values()) <= 5


async def test_addresses_that_lead_nowhere_are_counted_and_never_followed(
    api: Api, sandbox: Sandbox
) -> None:
    """A foreign host is refused, a missing address is a reason, none is silently dropped (U5)."""
    number = await number_of(sandbox, "odd-addresses")
    truth = await sandbox.truth(number)
    await api.start(number)
    status = await api.ended(number)
    assert status["total_documents"] == len(truth["documents"])
    reasons = {row["reason"] for row in status["documents"] if row["status"] == "failed"}
    assert {"foreign_host", "no_address"} <= reasons
