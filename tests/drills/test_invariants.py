"""Each invariant finds its broken guarantee, and nothing in a correct round."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from autos.contracts.reasons import Reason
from tests.drills.evidence import Evidence, KnownDocument, with_requests
from tests.drills.faults import Strikes
from tests.drills.invariants import Kind, broken

NUMBER = "99950001120248260100"
PREFIX = f"processes/{NUMBER}"
HASHES = ("a" * 64, "b" * 64)
URL = "http://127.0.0.1:9/receiver/one"
THEN = datetime(2026, 1, 1, tzinfo=UTC)


def row(position: int, **other: Any) -> dict[str, Any]:
    """A document's row."""
    return {
        "position": position,
        "source_id": f"uuid-{position}",
        "state": "available",
        "reason": None,
        "sha256": HASHES[position],
        "size": 10,
        "attempts": 1,
    } | other


def request(**other: Any) -> dict[str, Any]:
    """A received and accepted webhook."""
    body = json.dumps({"data": {"job_id": "job", "status": "completed"}})
    return {"headers": {"webhook-id": "evt"}, "status": 200, "body": body} | other


JOB = {
    "id": "job",
    "status": "completed",
    "waiting_for": None,
    "created_at": THEN,
    "started_at": THEN,
    "completed_at": THEN,
    "total_documents": 2,
    "available_documents": 2,
    "failed_documents": 0,
    "bytes_stored": 20,
}
STATUS = {
    "job_id": "job",
    "status": "completed",
    "total_documents": 2,
    "completed_documents": 2,
    "failed_documents": 0,
    "bytes_stored": 20,
    "progress_percentage": 100,
    "documents": [{"uuid": f"uuid-{place}", "status": "available"} for place in (0, 1)],
}
DELIVERY = {
    "id": "evt",
    "subscription_id": 1,
    "job_id": "job",
    "status": "delivered",
    "attempts": 1,
}
GOOD = Evidence(
    number=NUMBER,
    documents=[
        KnownDocument(f"uuid-{place}", (f"uuid-{place}",), HASHES[place], 10, clean_requests=1)
        for place in (0, 1)
    ],
    jobs_promised=["job"],
    status=STATUS,
    links={"uuid-0": HASHES[0], "uuid-1": HASHES[1]},
    listings=1,
    jobs=[JOB],
    rows=[row(0), row(1)],
    subscriptions=[{"id": 1, "url": URL}],
    deliveries=[DELIVERY],
    attempts=[{"delivery_id": "evt"}],
    keys=frozenset(f"{PREFIX}/{name}" for name in (*HASHES, "manifest.json")),
    files={
        f"{PREFIX}/{HASHES[0]}": HASHES[0],
        f"{PREFIX}/{HASHES[1]}": HASHES[1],
        f"{PREFIX}/manifest.json": "c" * 64,
    },
    manifest={
        "job_id": "job",
        "total_documents": 2,
        "available_documents": 2,
        "failed_documents": 0,
        "documents": [{"size": 10}, {"size": 10}],
    },
    received={URL: [request()]},
)


def test_correct_evidence_has_no_finding() -> None:
    assert broken(GOOD) == []


BROKEN: dict[str, tuple[dict[str, Any], Kind]] = {
    "a promised job has no row": ({"jobs_promised": ["job", "other"]}, Kind.LOST),
    "a job has not ended": ({"jobs": [JOB | {"status": "processing"}]}, Kind.STUCK),
    "a job ended without times": ({"jobs": [JOB | {"completed_at": None}]}, Kind.UNTRUE),
    "an ended job waits": ({"jobs": [JOB | {"waiting_for": "source"}]}, Kind.UNTRUE),
    "the job is cancelled without a request": (
        {"jobs": [JOB | {"status": "cancelled"}]},
        Kind.LOST,
    ),
    "a workflow runs": ({"running": ["webhook/evt"]}, Kind.STUCK),
    "a document has no row": ({"rows": [row(0)]}, Kind.LOST),
    "a document has two rows": (
        {"rows": [row(0), row(1), row(1) | {"position": 2}]},
        Kind.DOUBLED,
    ),
    "another hash is recorded": ({"rows": [row(0), row(1, sha256="d" * 64)]}, Kind.LOST),
    "a document is pending": ({"rows": [row(0), row(1, state="pending")]}, Kind.STUCK),
    "a document failed for nothing": (
        {"rows": [row(0), row(1, state="failed", reason="stub")]},
        Kind.LOST,
    ),
    "an object is missing": (
        {"keys": GOOD.keys - {f"{PREFIX}/{HASHES[0]}"}},
        Kind.LOST,
    ),
    "an object belongs to nothing": (
        {"keys": GOOD.keys | {f"{PREFIX}/{'e' * 64}"}},
        Kind.DOUBLED,
    ),
    "a file is no object": (
        {"files": {**GOOD.files, f"{PREFIX}/{HASHES[0]}.partial": "f" * 64}},
        Kind.DOUBLED,
    ),
    "a file is half-written": (
        {"files": {**GOOD.files, f"{PREFIX}/{HASHES[0]}": "f" * 64}},
        Kind.LOST,
    ),
    "a link opens something else": (
        {"links": {**GOOD.links, "uuid-0": "AssertionError"}},
        Kind.LOST,
    ),
    "status counts wrongly": ({"status": STATUS | {"completed_documents": 1}}, Kind.UNTRUE),
    "the job's row counts wrongly": ({"jobs": [JOB | {"bytes_stored": 0}]}, Kind.UNTRUE),
    "the manifest counts wrongly": (
        {"manifest": {**GOOD.manifest, "failed_documents": 1}},
        Kind.UNTRUE,
    ),
    "the end is not 100 %": ({"status": STATUS | {"progress_percentage": 50}}, Kind.UNTRUE),
    "a subscription has no event": ({"deliveries": [], "attempts": []}, Kind.LOST),
    "a subscription has two events": (
        {"deliveries": [DELIVERY, DELIVERY | {"id": "evt-2"}]},
        Kind.DOUBLED,
    ),
    "a delivery is pending": ({"deliveries": [DELIVERY | {"status": "pending"}]}, Kind.STUCK),
    "the event was never accepted": ({"received": {URL: [request(status=500)]}}, Kind.LOST),
    "the event came twice": ({"received": {URL: [request(), request()]}}, Kind.DOUBLED),
    "an unknown event came": (
        {"received": {URL: [request(), request(headers={"webhook-id": "evt-9"})]}},
        Kind.DOUBLED,
    ),
    "a repeated request left two subscriptions": (
        {
            "subscriptions": [{"id": 1, "url": URL}, {"id": 2, "url": URL}],
            "deliveries": [DELIVERY, DELIVERY | {"id": "evt-2", "subscription_id": 2}],
            "attempts": [{"delivery_id": "evt"}, {"delivery_id": "evt-2"}],
            "received": {URL: [request(), request(headers={"webhook-id": "evt-2"})]},
        },
        Kind.DOUBLED,
    ),
    "an accepted subscription has no row": (
        {"received": {URL: [request()], "http://127.0.0.1:9/receiver/two": []}},
        Kind.LOST,
    ),
    "attempts are counted wrongly": ({"deliveries": [DELIVERY | {"attempts": 2}]}, Kind.UNTRUE),
    "the event has another status": (
        {"received": {URL: [request(body='{"data": {"job_id": "job", "status": "failed"}}')]}},
        Kind.UNTRUE,
    ),
    "a document was asked for twice": (
        {"documents": [replace(GOOD.documents[0], clean_requests=2), GOOD.documents[1]]},
        Kind.DOUBLED,
    ),
    "the retry table was not kept": (
        {
            "documents": [
                replace(GOOD.documents[0], strikes=Strikes((Reason.SHELL,) * 4)),
                GOOD.documents[1],
            ]
        },
        Kind.DOUBLED,
    ),
    "the listing was read twice": ({"listings": 2}, Kind.DOUBLED),
    "a row counts more attempts than were made": (
        {"rows": [row(0, attempts=2), row(1)]},
        Kind.UNTRUE,
    ),
    "a row counts none": ({"rows": [row(0, attempts=0), row(1)]}, Kind.UNTRUE),
    "a spool file is left": ({"spooled": ["tmp"]}, Kind.DOUBLED),
    "an idempotency key is left in use": ({"open_keys": 1}, Kind.STUCK),
    "a caller saw a 500": ({"complaints": ["GET was answered 500"]}, Kind.UNTRUE),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_guarantee_is_found(what: str) -> None:
    change, kind = BROKEN[what]
    assert kind in {finding.kind for finding in broken(replace(GOOD, **change))}


def test_kill_allows_repeated_requests_of_two_batches_only() -> None:
    known = [
        KnownDocument(f"uuid-{place}", (f"uuid-{place}",), "a" * 64, 10, clean_requests=2)
        for place in range(11)
    ]
    few = replace(GOOD, documents=known[:10], kills={"worker": 1})
    assert not [finding for finding in broken(few) if "asked for" in finding.text]
    many = replace(few, documents=known)
    assert [finding.kind for finding in broken(many) if "asked for" in finding.text] == [
        Kind.DOUBLED
    ]
    other = replace(few, kills={"api": 1, "temporal": 1})
    assert len([finding for finding in broken(other) if "asked for" in finding.text]) == 11


def test_failed_document_needs_enough_failed_requests() -> None:
    def findings(*met: Reason) -> list[str]:
        struck = replace(GOOD.documents[0], strikes=Strikes(met))
        case = replace(
            GOOD,
            documents=[struck, GOOD.documents[1]],
            rows=[row(0, state="failed", reason="shell"), row(1)],
        )
        return [finding.text for finding in broken(case) if "having met" in finding.text]

    assert findings(Reason.SHELL, Reason.SHELL, Reason.SHELL) == []
    assert len(findings(Reason.SHELL, Reason.SHELL)) == 1
    assert len(findings(Reason.STUB, Reason.STUB, Reason.STUB)) == 1


def test_cancelled_job_may_leave_documents_pending() -> None:
    rows = [row(0), row(1, state="pending", sha256=None, size=None, attempts=0)]
    cancelled = replace(GOOD, cancelled=True, rows=rows)
    assert not [finding for finding in broken(cancelled) if finding.kind is Kind.STUCK]
    unlisted = replace(GOOD, cancelled=True, rows=[])
    assert not [finding for finding in broken(unlisted) if "no row" in finding.text]
    assert [
        finding for finding in broken(replace(unlisted, rows=rows[:1])) if "rows" in finding.text
    ]


def test_cancelled_job_may_leave_objects_only_after_a_kill() -> None:
    def findings(sha256: str, **kills: int) -> list[str]:
        case = replace(
            GOOD,
            cancelled=True,
            kills=kills,
            rows=[row(0), row(1, state="pending", sha256=None, size=None, attempts=0)],
            keys=frozenset(f"{PREFIX}/{name}" for name in (HASHES[0], sha256, "manifest.json")),
        )
        return [one.text for one in broken(case) if "belongs to nothing" in one.text]

    assert findings(HASHES[1], postgres=1) == []
    assert len(findings(HASHES[1], api=1)) == 1
    assert len(findings("e" * 64, postgres=1)) == 1


def test_requests_are_classified_by_their_faults() -> None:
    document = KnownDocument("one", ("one", "copy"), "a" * 64, 10)
    log: list[dict[str, Any]] = [
        {"document": "one", "faults": [], "status": 200},
        {"document": "copy", "faults": [], "status": None},
        {"document": "one", "faults": ["shell_200"], "status": 200},
        {"document": "one", "faults": [], "status": 401},
        {"document": None, "faults": [], "status": 200},
        {"document": "other", "faults": [], "status": 200},
    ]
    (known,) = with_requests([document], log)
    assert known.clean_requests == 2
    assert known.strikes.reasons == (Reason.SHELL, Reason.CREDENTIAL)
