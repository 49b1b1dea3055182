"""What must hold of a case after a round, whatever was killed: one function for each promise.

Each looks at the evidence and returns a finding for everything that is broken; nothing is a pass.
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
from tests.drills.evidence import Evidence, Known, Row

BATCHES: Final = 2
"""Of a job, in a worker's hands at once: one at work and one handed over ahead (decision 0008)."""
BATCH: Final = 5


class Kind(StrEnum):
    """What sort of promise is broken."""

    LOST = "lost"
    DOUBLED = "doubled"
    STUCK = "stuck"
    UNTRUE = "untrue"
    SILENT = "silent"
    EXCEEDED = "exceeded"
    HELD_UP = "held up"


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken promise, in a sentence."""

    kind: Kind
    text: str


Findings = Iterator[Finding]


def jobs_end(case: Evidence) -> Findings:
    """Every job that somebody was promised has a row, and every job has ended and says when."""
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
            yield Finding(Kind.LOST, f"job {job['id']} is cancelled, which nobody asked for")


def workflows_end(case: Evidence) -> Findings:
    """Nothing of the case still runs in Temporal."""
    for workflow in case.running:
        yield Finding(Kind.STUCK, f"workflow {workflow} still runs")


def documents_are_the_sources(case: Evidence) -> Findings:
    """Each document of the source has one row: stored with its hash, or failed with good reason."""
    if case.cancelled and not case.rows:
        # Cancelled before the listing was read, which is written as a whole.
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


def _ends_well(case: Evidence, document: Known, row: Row) -> Findings:
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
    """The store holds each distinct content once and the manifest, whole, and nothing else.

    Where a job is cancelled while a kill keeps it from writing its rows, what it had in its hands
    may lie in the store without one: bytes of the source, which the next job finds there. To take
    them away could take what a worker that is believed dead is about to record.
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
    for row in _told(case, DocumentState.AVAILABLE):
        found = case.links.get(row["uuid"], "no link")
        if found != hashes[row["uuid"]]:
            yield Finding(Kind.LOST, f"the link of document {row['uuid']} opens {found}")


def status_is_true(case: Evidence) -> Findings:
    """Status, the job's row and the manifest count what the documents' rows say."""
    status, states = case.status, Counter(row["state"] for row in case.rows)
    available = states[DocumentState.AVAILABLE]
    failed = states[DocumentState.FAILED]
    stored = sum(row["size"] for row in case.rows if row["state"] == DocumentState.AVAILABLE)
    truth = (len(case.rows), available, failed, stored)
    newest = max(case.jobs, key=lambda job: job["created_at"], default=None)
    told = {
        "status": _counts(status, "total_documents", "completed_documents"),
        "the job's row": _counts(newest or {}, "total_documents", "available_documents"),
        "the manifest": (
            *(case.manifest.get(f"{name}_documents") for name in ("total", "available", "failed")),
            sum(entry.get("size", 0) for entry in case.manifest.get("documents", ())),
        ),
    }
    for name, counts in told.items():
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


def subscribers_are_told(case: Evidence) -> Findings:
    """Each subscription has one event, which was accepted and says how its job ended."""
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
            # Its caller repeated one request until it was accepted.
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
        yield Finding(Kind.LOST, f"{name} was accepted by nobody")
    tried = sum(attempt["delivery_id"] == delivery["id"] for attempt in case.attempts)
    if tried != delivery["attempts"]:
        yield Finding(Kind.UNTRUE, f"{name} counts {delivery['attempts']} of {tried} attempts")
    # An attempt whose worker or record was lost is made again, under the same id.
    again = case.killed("worker", "postgres", "temporal") + case.harmed
    if not tried <= len(came) <= tried + again:
        text = f"{name} arrived {len(came)} times in {tried} attempts"
        yield Finding(Kind.DOUBLED if len(came) > tried else Kind.LOST, text)
    job = jobs.get(delivery["job_id"])
    told: set[tuple[Any, Any]] = {_word(request["body"]) for request in came}
    if job is not None and not case.cancelled and told - {(job["id"], job["status"])}:
        yield Finding(Kind.UNTRUE, f"{name} says {told}, but the job is {job['status']}")


def requests_are_few(case: Evidence) -> Findings:
    """The source was asked no more than the retry table, the faults and the kills allow.

    A document that came is asked for again only where its bytes were lost on the way: with the
    worker, the row, or the store. One kill meets at most the two batches in the worker's hands.
    A request that was spoiled is repeated by the retry table; beside it stand outcomes that were
    lost with a worker, a row or a history, and one for every outage, which uses no attempts.
    """
    lost = case.killed("worker", "postgres", "s3") + case.harmed
    # A job that begins after a cancelled one asks for what that one had in flight.
    again = lost + (1 if case.cancelled else 0)
    for document in case.documents:
        if document.well > 1 + again:
            text = f"document {document.uuid} was asked for well {document.well} times"
            yield Finding(Kind.DOUBLED, text)
        met = len(document.strikes.reasons)
        allowed = document.strikes.allowed * len(document.copies) * max(1, len(case.jobs))
        uncounted = case.killed("worker", "postgres", "temporal") + case.harmed
        uncounted += case.outages + case.revocations
        if met > allowed + uncounted:
            text = f"document {document.uuid} met {met} refusals of {allowed} + {uncounted} allowed"
            yield Finding(Kind.DOUBLED, text)
    repeated = sum(max(0, document.well - 1) for document in case.documents)
    if repeated > again * BATCHES * BATCH:
        text = f"{repeated} documents were asked for again after {lost} kills"
        yield Finding(Kind.DOUBLED, text)
    if case.listings > max(1, len(case.jobs)) + case.killed("worker", "postgres") + case.harmed:
        yield Finding(Kind.DOUBLED, f"the listing was read {case.listings} times")


def attempts_are_true(case: Evidence) -> Findings:
    """A row counts at least one attempt, and no more than the source was asked."""
    for document in case.documents:
        asked = document.well + len(document.strikes.reasons)
        for row in _rows_of(case, document):
            least = 1 if row["state"] == DocumentState.AVAILABLE else 0
            if not least <= row["attempts"] <= asked:
                text = f"document {row['position']} counts {row['attempts']} attempts of {asked}"
                yield Finding(Kind.UNTRUE, text)


def nothing_is_left_over(case: Evidence) -> Findings:
    """No temporary file, no request that is for ever in progress."""
    for name in case.spooled:
        yield Finding(Kind.DOUBLED, f"the file {name} is left in the spool")
    if case.open_keys:
        text = f"{case.open_keys} idempotency keys of answered requests are still in use"
        yield Finding(Kind.STUCK, text)


def callers_saw_no_wrong(case: Evidence) -> Findings:
    """No answer that no caller should get."""
    for complaint in case.complaints:
        yield Finding(Kind.UNTRUE, complaint)


INVARIANTS: Final[tuple[Callable[[Evidence], Findings], ...]] = (
    jobs_end,
    workflows_end,
    documents_are_the_sources,
    objects_are_the_documents,
    links_open,
    status_is_true,
    subscribers_are_told,
    requests_are_few,
    attempts_are_true,
    nothing_is_left_over,
    callers_saw_no_wrong,
)


def broken(case: Evidence) -> list[Finding]:
    """All that is broken in a case."""
    return [finding for invariant in INVARIANTS for finding in invariant(case)]


def _rows_of(case: Evidence, document: Known) -> list[Row]:
    return [row for row in case.rows if row["source_id"] in document.copies]


def _told(case: Evidence, state: DocumentState) -> list[Row]:
    return [row for row in case.status.get("documents", ()) if row["status"] == state]


def _counts(told: Row, total: str, available: str) -> tuple[Any, ...]:
    return (
        told.get(total),
        told.get(available),
        told.get("failed_documents"),
        told.get("bytes_stored"),
    )


def _word(body: str) -> tuple[Any, Any]:
    """The job and how it ended, as a webhook's body says."""
    data = json.loads(body)["data"]
    return data["job_id"], data["status"]
