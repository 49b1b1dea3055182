"""The main job on the real stack: from a case number to verified documents in S3."""

import hashlib
import re
from datetime import datetime
from typing import Any
from urllib.parse import unquote

import httpx2

from tests.e2e.clients import Api, Sandbox


async def number_of(sandbox: Sandbox, name: str) -> str:
    """The 20 digits of a case of the sandbox's catalogue."""
    cases = await sandbox.control("GET", "/cases")
    return "".join(filter(str.isdigit, cases[name]))


def request_counts(counters: dict[str, object], uuids: list[str]) -> list[int]:
    """How often each of these documents was requested."""
    documents = counters["documents"]
    assert isinstance(documents, dict)
    return [documents.get(uuid, 0) for uuid in uuids]


async def test_43_documents_of_every_kind_are_stored_with_their_hashes(
    api: Api, sandbox: Sandbox, http: httpx2.AsyncClient
) -> None:
    """F2, F7, F13, F15, F16, U5: one GET of an unknown process, without a webhook."""
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
    manifest = await api.manifest(number)
    assert manifest["total_documents"] == 43
    assert manifest["available_documents"] + manifest["failed_documents"] == 43


async def test_documents_listed_by_two_sources_are_requested_once(
    api: Api, sandbox: Sandbox
) -> None:
    """F28: 173 documents in two listings are requested once each, five at a time (F40)."""
    number = await number_of(sandbox, "listed-twice")
    truth = await sandbox.truth(number)
    # 3.5 s of work at least, so that a slow machine polls often, too.
    await sandbox.control("POST", "/switches", json={"latency_ms": 100})
    await api.start(number)
    polls, last = 0, 0.0
    async for status in api.status_polls(number, wait=0):
        states = ("pending", "processing", "completed", "failed")
        assert sum(status[f"{state}_documents"] for state in states) == status["total_documents"]
        assert status["progress_percentage"] >= last
        last, polls = status["progress_percentage"], polls + 1
    assert polls >= 20
    assert (status["total_documents"], status["completed_documents"]) == (173, 173)
    counters = await sandbox.counters()
    copies = [document["uuids"] for document in truth["documents"]]
    assert [sum(request_counts(counters, uuids)) for uuids in copies] == [1] * 173
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
    manifest = await api.manifest(number)
    keys = {document["key"] for document in manifest["documents"]}
    assert keys == {f"processes/{number}/{sha256}" for sha256 in hashes}


async def test_file_names_are_preserved(
    api: Api, sandbox: Sandbox, http: httpx2.AsyncClient
) -> None:
    """Accents, slashes, 300 characters, and many documents with one name (F9)."""
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
        # A name without an extension gets the extension of its type.
        assert name.startswith((document["name"] or "").strip())
        assert hashlib.sha256(reply.content).hexdigest() == document["sha256"]
        names.add(name)
    assert any(len(name) >= 300 for name in names)
    assert any("/" in name for name in names)
    assert any("ç" in name or "ã" in name for name in names)


async def test_second_run_requests_only_missing_documents(api: Api, sandbox: Sandbox) -> None:
    """F4, F22: stored documents are neither requested again nor changed."""
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
    repaired = next(row for row in status["documents"] if row["uuid"] == broken)
    assert {row["attempts"] for row in status["documents"]} == {1}
    page = await api.request("GET", "/jobs", params={"process_number": case["number"]})
    second, first = page.json()["items"]
    assert second["id"] == status["job_id"]
    assert (first["status"], second["status"]) == ("completed_with_failures", "completed")
    assert (first["completed_documents"], first["failed_documents"]) == (11, 1)
    in_order = [
        *(first["started_at"], first["completed_at"], second["started_at"]),
        *(repaired["download_started_at"], repaired["download_completed_at"]),
        second["completed_at"],
    ]
    times = [datetime.fromisoformat(time) for time in in_order]
    assert times == sorted(times)


async def test_force_refresh_downloads_new_documents_and_marks_vanished_ones(
    api: Api, sandbox: Sandbox
) -> None:
    """F24: a vanished document is marked and can still be downloaded from the store."""
    case = await sandbox.new_case(6, size_bytes=3000)
    number = case["number"]
    vanishing = case["documents"][0]
    await api.start(number)
    before = await api.ended(number)
    assert before["total_documents"] == 6
    await sandbox.control("POST", f"/cases/{number}/change", json={"add": 2, "remove": 0})
    # The stored list is fresh enough for `max_age`, so neither change is seen.
    await api.start(number, max_age=3600)
    assert (await api.ended(number))["total_documents"] == 6
    assert (await sandbox.counters())["requests_by_path"][listing_of(case)] == 1
    await api.start(number, force_refresh=True)
    status = await api.ended(number)
    assert (status["total_documents"], status["completed_documents"]) == (8, 8)
    assert status["job_id"] != before["job_id"]
    counters = await sandbox.counters()
    assert counters["requests_by_path"][listing_of(case)] == 2
    assert set(counters["documents"].values()) == {1}
    page = (await api.request("GET", f"/processes/{number}/documents")).json()["items"]
    assert [row["uuid"] for row in page if row["vanished_at"]] == [vanishing["uuid"]]
    kept = next(row for row in page if row["vanished_at"])
    assert await api.sha256(kept["download_url"]) == vanishing["sha256"]
    manifest = await api.manifest(number)
    marked = [entry["source_id"] for entry in manifest["documents"] if "vanished_at" in entry]
    assert marked == [vanishing["uuid"]]


def listing_of(case: dict[str, Any]) -> str:
    """The source's path of the list of a case's documents."""
    return f"/api/v2/processos/{case['masked']}"


async def test_document_that_changed_at_the_source_is_downloaded_again(
    api: Api, sandbox: Sandbox
) -> None:
    """No other document is requested; the old version is linked until the new one is stored."""
    case = await sandbox.new_case(6, size_bytes=3000)
    number, changed = case["number"], case["documents"][2]["uuid"]
    await api.start(number)
    before = {row["uuid"]: row for row in (await api.ended(number))["documents"]}
    await sandbox.control("POST", f"/cases/{number}/change", json={"replace": changed})
    truth = {document["uuid"]: document for document in (await sandbox.truth(number))["documents"]}
    async with sandbox.fault("secret_piece_403", number, changed):
        await api.start(number, force_refresh=True)
        status = await api.ended(number)
    rows = {row["uuid"]: row for row in status["documents"]}
    assert (status["status"], status["failed_documents"]) == ("completed_with_failures", 1)
    assert (rows[changed]["status"], rows[changed]["reason"]) == ("failed", "secret")
    assert rows[changed]["sha256"] == before[changed]["sha256"] != truth[changed]["sha256"]
    assert await api.sha256(rows[changed]["download_url"]) == before[changed]["sha256"]
    retried = await api.request("POST", f"/jobs/{status['job_id']}/retry-failed")
    assert retried.status_code == 202
    status = await api.ended(number)
    assert (status["status"], status["completed_documents"]) == ("completed", 6)
    rows = {row["uuid"]: row for row in status["documents"]}
    assert {uuid: row["sha256"] for uuid, row in rows.items()} == {
        uuid: document["sha256"] for uuid, document in truth.items()
    }
    assert await api.sha256(rows[changed]["download_url"]) == truth[changed]["sha256"]
    counters = await sandbox.counters()
    assert counters["documents"] == dict.fromkeys(before, 1) | {changed: 3}


async def test_failed_request_is_retried_once(api: Api, sandbox: Sandbox) -> None:
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


async def test_retry_after_delays_the_whole_court_and_uses_no_attempts(
    api: Api, sandbox: Sandbox
) -> None:
    """A 429 of one document delays all of the court; delayed requests are no attempts."""
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


async def test_many_jobs_stay_within_the_request_limit(api: Api, sandbox: Sandbox) -> None:
    """F9, F45: five requests per job, and at most the configured limit over all jobs."""
    # 2 s of work each at least, so that the jobs overlap however slowly they start.
    await sandbox.control("POST", "/switches", json={"latency_ms": 500})
    cases = [await sandbox.new_case(20, size_bytes=2000, seed=seed) for seed in range(6)]
    for case in cases:
        await api.start(case["number"])
    for case in cases:
        status = await api.ended(case["number"])
        assert status["status"] == "completed"
        known = {document["uuid"]: document["sha256"] for document in case["documents"]}
        assert {row["uuid"]: row["sha256"] for row in status["documents"]} == known
        for row in status["documents"]:
            assert await api.sha256(row["download_url"]) == known[row["uuid"]]
    counters = await sandbox.counters()
    # The limit is 12, of which a tenth is reserved for other courts. A busy machine may not reach
    # it, but jobs do run concurrently.
    assert 5 < counters["in_flight_max"] <= 11
    assert max(counters["in_flight_max_by_process"].values()) <= 5


async def test_invalid_document_addresses_are_counted_and_never_requested(
    api: Api, sandbox: Sandbox
) -> None:
    """A foreign host and a missing address are reasons of failure; none is dropped (U5)."""
    number = await number_of(sandbox, "odd-addresses")
    truth = await sandbox.truth(number)
    await api.start(number)
    status = await api.ended(number)
    assert status["total_documents"] == len(truth["documents"])
    reasons = {row["reason"] for row in status["documents"] if row["status"] == "failed"}
    assert {"foreign_host", "no_address"} <= reasons
