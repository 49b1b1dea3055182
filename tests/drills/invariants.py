"""What must hold for a case after a round: one function per guarantee.

Each function checks the evidence and yields a finding for every violation.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from autos.contracts.reasons import Reason
from autos.contracts.states import DocumentState, JobStatus
from autos.store.object_keys import document_key, manifest_key
from tests.drills.evidence import Evidence, KnownDocument, Row

BATCHES: Final = 2
"""Batches of a job on a worker: one running and one prefetched (decision 0008)."""
BATCH: Final = 5


class Kind(StrEnum):
    """The kind of guarantee that is broken."""

    LOST = "lost"
    DOUBLED = "doubled"
    STUCK = "stuck"
    UNTRUE = "untrue"
    SILENT = "silent"
    EXCEEDED = "exceeded"
    HELD_UP = "held up"


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken guarantee, with a description."""

    kind: Kind
    text: str


Findings = Iterator[Finding]


def jobs_end(case: Evidence) -> Findings:
    """Every accepted job has a row, and every job has ended with its times."""
    known = {job["id"] for job in case.jobs}
    for job_id in case.jobs_promised:
        if job_id not in known:
            yield Finding(Kind.LOST, f"job {job_id} was promised and has no row")
    for job in case.jobs:
        if not JobStatus(job["status"]).ended:
            yield Finding(Kind.STUCK, f"job {job['id']} is {job['status']}")
        elif job["completed_at"] is None or job["started_at"] is None:
            yield Finding(Kind.UNTRUE, f"job {job['id']} ended without times")
        if job["waiting_for"] is not None:
            yield Finding(Kind.UNTRUE, f"job {job['id']} still waits for {job['waiting_for']}")
        if job["status"] == JobStatus.CANCELLED and not case.cancelled:
            yield Finding(Kind.LOST, f"job {job['id']} is cancelled without a request")


def workflows_end(case: Evidence) -> Findings:
    """No workflow of the case still runs."""
    for workflow in case.running:
        yield Finding(Kind.STUCK, f"workflow {workflow} still runs")


def documents_are_the_sources(case: Evidence) -> Findings:
    """Each document of the source has one row: stored with its hash, or failed with reason."""
    if case.cancelled and not case.rows:
        # Cancelled before the listing was saved, which happens in one transaction.
        return
    if len(case.rows) != len(case.documents):
        text = f"{len(case.rows)} rows for {len(case.documents)} documents"
        yield Finding(Kind.DOUBLED if len(case.rows) > len(case.documents) else Kind.LOST, text)
    for document in case.documents:
        rows = _rows_of(case, document)
        if len(rows) > 1:
            yield Finding(Kind.DOUBLED, f"document {document.uuid} has {len(rows)} rows")
        if not rows:
            yield Finding(Kind.LOST, f"document {document.uuid} has no row")
        for row in rows:
            yield from _ends_well(case, document, row)


def _ends_well(case: Evidence, document: KnownDocument, row: Row) -> Findings:
    name = f"document {row['position']}"
    match row["state"]:
        case DocumentState.AVAILABLE:
            if (row["sha256"], row["size"]) != (document.sha256, document.size):
                yield Finding(Kind.LOST, f"{name} is recorded with another hash than the source's")
        case DocumentState.FAILED:
            if not document.strikes.explain(Reason(row["reason"])):
                met = [str(reason) for reason in document.strikes.reasons]
                yield Finding(Kind.LOST, f"{name} failed as {row['reason']} having met {met}")
        case state if not case.cancelled:
            yield Finding(Kind.STUCK, f"{name} is still {state}")


def objects_are_the_documents(case: Evidence) -> Findings:
    """The store has each distinct content once, the complete manifest, and nothing else.

    If a job is cancelled while a kill prevents it from writing rows, documents in progress may be
    stored without a row; the next job uses them. Deleting them could delete an object that a worker
    believed dead is about to record.
    """
    stored = [row["sha256"] for row in case.rows if row["state"] == DocumentState.AVAILABLE]
    wanted = {document_key(case.number, sha256) for sha256 in stored}
    wanted.add(manifest_key(case.number))
    for key in sorted(wanted - case.keys):
        yield Finding(Kind.LOST, f"{key} is not in the store")
    unwanted = case.keys - wanted
    if case.cancelled and len(unwanted) <= BATCHES * BATCH * (
        case.killed("worker", "postgres") + case.harmed
    ):
        unwanted -= {document_key(case.number, known.sha256) for known in case.documents}
    for key in sorted(unwanted):
        yield Finding(Kind.DOUBLED, f"{key} is in the store and belongs to nothing")
    for name, sha256 in sorted(case.files.items()):
        if name not in case.keys:
            yield Finding(Kind.DOUBLED, f"the file {name} of the store is no object")
        elif name != manifest_key(case.number) and not name.endswith(sha256):
            yield Finding(Kind.LOST, f"{name} holds other bytes than its name says")


def links_open(case: Evidence) -> Findings:
    """The link of every available document opens the source's bytes."""
    hashes = {copy: known.sha256 for known in case.documents for copy in known.copies}
    for row in _shown(case, DocumentState.AVAILABLE):
        found = case.links.get(row["uuid"], "no link")
        if found != hashes[row["uuid"]]:
            yield Finding(Kind.LOST, f"the link of document {row['uuid']} opens {found}")


def status_is_true(case: Evidence) -> Findings:
    """Status, the job's row and the manifest have the counts of the documents' rows."""
    status, states = case.status, Counter(row["state"] for row in case.rows)
    available = states[DocumentState.AVAILABLE]
    failed = states[DocumentState.FAILED]
    stored = sum(row["size"] for row in case.rows if row["state"] == DocumentState.AVAILABLE)
    truth = (len(case.rows), available, failed, stored)
    newest = max(case.jobs, key=lambda job: job["created_at"], default=None)
    shown = {
        "status": _counts(status, "total_documents", "completed_documents"),
        "the job's row": _counts(newest or {}, "total_documents", "available_documents"),
        "the manifest": (
            *(case.manifest.get(f"{name}_documents") for name in ("total", "available", "failed")),
            sum(entry.get("size", 0) for entry in case.manifest.get("documents", ())),
        ),
    }
    for name, counts in shown.items():
        if counts != truth:
            yield Finding(Kind.UNTRUE, f"{name} counts {counts} where {truth} is true")
    named = {"status": status.get("job_id"), "the manifest": case.manifest.get("job_id")}
    for name, job_id in named.items():
        if newest and job_id != newest["id"]:
            yield Finding(Kind.UNTRUE, f"{name} is of job {job_id}, not of the newest")
    if newest and status.get("status") != newest["status"]:
        yield Finding(Kind.UNTRUE, f"status is {status.get('status')}, not {newest['status']}")
    if newest and newest["status"] != JobStatus.CANCELLED:
        wanted = JobStatus.COMPLETED_WITH_FAILURES if failed else JobStatus.COMPLETED
        if newest["status"] != wanted:
            yield Finding(Kind.UNTRUE, f"the job is {newest['status']}, not {wanted}")
        if status.get("progress_percentage") != 100:
            yield Finding(Kind.UNTRUE, f"{status.get('progress_percentage')} % at the end")
    if Counter(row["status"] for row in status.get("documents", ())) != states:
        yield Finding(Kind.UNTRUE, "the status of the documents is not that of their rows")


def subscribers_are_notified(case: Evidence) -> Findings:
    """Each subscription has one event, which was accepted and has its job's final status."""
    jobs = {job["id"]: job for job in case.jobs}
    for subscription in case.subscriptions:
        mine = [row for row in case.deliveries if row["subscription_id"] == subscription["id"]]
        if not mine:
            yield Finding(Kind.LOST, f"the subscription of {subscription['url']} has no event")
        if len(mine) > 1:
            text = f"the subscription of {subscription['url']} has {len(mine)} events"
            yield Finding(Kind.DOUBLED, text)
        for delivery in mine:
            yield from _is_delivered(case, subscription["url"], delivery, jobs)
    for url, requests in case.received.items():
        bound = {row["id"] for row in case.subscriptions if row["url"] == url}
        if not bound:
            yield Finding(Kind.LOST, f"the accepted subscription of {url} has no row")
        if len(bound) > 1:
            # Its caller repeated the same request until it was accepted.
            yield Finding(Kind.DOUBLED, f"{url} has {len(bound)} subscriptions")
        events = {row["id"] for row in case.deliveries if row["subscription_id"] in bound}
        for unknown in {request["headers"]["webhook-id"] for request in requests} - events:
            yield Finding(Kind.DOUBLED, f"{url} got the event {unknown}, which is not its own")


def _is_delivered(case: Evidence, url: str, delivery: Row, jobs: dict[str, Row]) -> Findings:
    name = f"event {delivery['id']} for {url}"
    if delivery["status"] != "delivered":
        yield Finding(Kind.STUCK, f"{name} is {delivery['status']}")
    came = [
        request
        for request in case.received.get(url, ())
        if request["headers"]["webhook-id"] == delivery["id"]
    ]
    if not any(request["status"] is not None and request["status"] < 300 for request in came):
        yield Finding(Kind.LOST, f"{name} was never accepted")
    tried = sum(attempt["delivery_id"] == delivery["id"] for attempt in case.attempts)
    if tried != delivery["attempts"]:
        yield Finding(Kind.UNTRUE, f"{name} counts {delivery['attempts']} of {tried} attempts")
    # An attempt whose worker or record was lost is repeated under the same id.
    again = case.killed("worker", "postgres", "temporal") + case.harmed
    if not tried <= len(came) <= tried + again:
        text = f"{name} arrived {len(came)} times in {tried} attempts"
        yield Finding(Kind.DOUBLED if len(came) > tried else Kind.LOST, text)
    job = jobs.get(delivery["job_id"])
    shown: set[tuple[Any, Any]] = {_job_and_status(request["body"]) for request in came}
    if job is not None and not case.cancelled and shown - {(job["id"], job["status"])}:
        yield Finding(Kind.UNTRUE, f"{name} says {shown}, but the job is {job['status']}")


def requests_are_few(case: Evidence) -> Findings:
    """The source got no more requests than the retry table, the faults and the kills allow.

    A served document is requested again only if its bytes were lost with the worker, the row or the
    store. One kill affects at most the two batches on the worker. Failed requests are repeated by
    the retry table. Further repetitions come from outcomes that were lost with a worker, a row or a
    history, and one from every outage, which uses no attempts.
    """
    lost = case.killed("worker", "postgres", "s3") + case.harmed
    # The job after a cancelled one requests the documents that were in flight.
    again = lost + (1 if case.cancelled else 0)
    for document in case.documents:
        if document.clean_requests > 1 + again:
            text = f"document {document.uuid} was asked for cleanly {document.clean_requests} times"
            yield Finding(Kind.DOUBLED, text)
        met = len(document.strikes.reasons)
        allowed = document.strikes.allowed * len(document.copies) * max(1, len(case.jobs))
        uncounted = case.killed("worker", "postgres", "temporal") + case.harmed
        uncounted += case.outages + case.revocations
        if met > allowed + uncounted:
            text = f"document {document.uuid} met {met} refusals of {allowed} + {uncounted} allowed"
            yield Finding(Kind.DOUBLED, text)
    repeated = sum(max(0, document.clean_requests - 1) for document in case.documents)
    if repeated > again * BATCHES * BATCH:
        text = f"{repeated} documents were asked for again after {lost} kills"
        yield Finding(Kind.DOUBLED, text)
    if case.listings > max(1, len(case.jobs)) + case.killed("worker", "postgres") + case.harmed:
        yield Finding(Kind.DOUBLED, f"the listing was read {case.listings} times")


def attempts_are_true(case: Evidence) -> Findings:
    """A row counts at least one attempt, and no more than the source got requests."""
    for document in case.documents:
        asked = document.clean_requests + len(document.strikes.reasons)
        for row in _rows_of(case, document):
            least = 1 if row["state"] == DocumentState.AVAILABLE else 0
            if not least <= row["attempts"] <= asked:
                text = f"document {row['position']} counts {row['attempts']} attempts of {asked}"
                yield Finding(Kind.UNTRUE, text)


def nothing_is_left_over(case: Evidence) -> Findings:
    """No temporary file and no unfinished idempotency key is left."""
    for name in case.spooled:
        yield Finding(Kind.DOUBLED, f"the file {name} is left in the spool")
    if case.open_keys:
        text = f"{case.open_keys} idempotency keys of answered requests are still in use"
        yield Finding(Kind.STUCK, text)


def callers_saw_no_wrong(case: Evidence) -> Findings:
    """Callers saw no invalid response."""
    for complaint in case.complaints:
        yield Finding(Kind.UNTRUE, complaint)


INVARIANTS: Final[tuple[Callable[[Evidence], Findings], ...]] = (
    jobs_end,
    workflows_end,
    documents_are_the_sources,
    objects_are_the_documents,
    links_open,
    status_is_true,
    subscribers_are_notified,
    requests_are_few,
    attempts_are_true,
    nothing_is_left_over,
    callers_saw_no_wrong,
)


def broken(case: Evidence) -> list[Finding]:
    """All broken guarantees of a case."""
    return [finding for invariant in INVARIANTS for finding in invariant(case)]


def _rows_of(case: Evidence, document: KnownDocument) -> list[Row]:
    return [row for row in case.rows if row["source_id"] in document.copies]


def _shown(case: Evidence, state: DocumentState) -> list[Row]:
    return [row for row in case.status.get("documents", ()) if row["status"] == state]


def _counts(shown: Row, total: str, available: str) -> tuple[Any, ...]:
    return (
        shown.get(total),
        shown.get(available),
        shown.get("failed_documents"),
        shown.get("bytes_stored"),
    )


def _job_and_status(body: str) -> tuple[Any, Any]:
    """The job's id and status in a webhook's body."""
    data = json.loads(body)["data"]
    return data["job_id"], data["status"]
