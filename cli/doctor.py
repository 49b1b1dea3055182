"""`autos doctor`: says how each part is, has a reconciliation run, and explains what it found.

It goes through the REST API, so it works from any machine. What it has run is what the service
does by itself every few minutes, with the store compared, too.
"""

import time
from typing import Final, NamedTuple

from autos.contracts.reconciliation import Kind, Step
from cli.answers import Findings, Health, Reconciliation
from cli.client import ApiClient, open_client
from cli.connection import Connection
from cli.errors import FAILED
from cli.terminal import console

_WAIT: Final = 20
"""Seconds that one request waits."""
_SHOWN: Final = 5
"""Of each kind; the API tells more of them."""

_AWAY: Final = {
    "records": "PostgreSQL cannot be reached: check AUTOS_DATABASE_URL and the server.",
    "engine": "Temporal cannot be reached: check TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and the "
    "server. No new job is accepted meanwhile.",
    "store": "S3 cannot be reached, or there is no such bucket: check AUTOS_S3_ENDPOINT, "
    "AUTOS_S3_BUCKET and the keys.",
}


class Explanation(NamedTuple):
    """What a kind of finding means, in sentences."""

    found: str
    """After the number."""
    done: str
    """When it was mended."""
    advice: str


EXPLANATIONS: Final = {
    Kind.JOB_CLOSED: Explanation(
        "ended in Temporal without writing an end: terminated there, or timed out.",
        "Their rows have an end now, and their subscribers are told.",
        "Stop jobs with `autos jobs cancel`, never with Terminate. The documents that are missing: "
        "`autos jobs retry-failed JOB`.",
    ),
    Kind.JOB_UNKNOWN: Explanation(
        "were accepted, and Temporal knows nothing of them.",
        "Each was started anew, or closed where all of it was there; no subscriber is lost.",
        "Find out why Temporal lost them: its database, its backup, or TEMPORAL_NAMESPACE.",
    ),
    Kind.JOB_SUPERSEDED: Explanation(
        "were called running, though another job of their process had followed.",
        "Their rows have an end now; the newer jobs go on.",
        "Nothing is to be done.",
    ),
    Kind.JOB_UNRECORDED: Explanation(
        "run in Temporal and were not in the records.",
        "They have a row now and are seen in lists and statuses.",
        "If there are many, look at whether the database was set back to an older backup.",
    ),
    Kind.SUBSCRIPTION_OPEN: Explanation(
        "webhook URLs were accepted, and no job was going to tell them.",
        "Each is attached to a job of its process, which tells it at its end.",
        "Nothing is to be done.",
    ),
    Kind.DELIVERY_STOPPED: Explanation(
        "events were not delivered, and nobody was trying any more.",
        "Each is on its way again under its original id.",
        "Do not terminate `webhook/…` workflows: they end by themselves after three days.",
    ),
    Kind.IDEMPOTENCY_KEY_EXPIRED: Explanation(
        "kept answers to idempotent requests were older than a day.",
        "They are deleted.",
        "Nothing is to be done.",
    ),
    Kind.ATTEMPT_EXPIRED: Explanation(
        "attempts of deliveries were older than AUTOS_ATTEMPTS_DAYS.",
        "They are deleted; the deliveries themselves stay.",
        "Nothing is to be done.",
    ),
    Kind.RECEIPT_EXPIRED: Explanation(
        "webhooks in the test receiver were older than AUTOS_RECEIPTS_DAYS.",
        "They are deleted.",
        "Nothing is to be done.",
    ),
    Kind.OBJECT_ORPHANED: Explanation(
        "objects in the bucket belonged to no document.",
        "They are deleted; no row referred to them.",
        "Nothing is to be done. If there are many, look at whether the database was set back.",
    ),
    Kind.OBJECT_MISSING: Explanation(
        "documents are called available, but their objects are not in the bucket.",
        "They are called failed now, with the reason `storage`.",
        "Get them again with `autos jobs retry-failed JOB`, and find out who deletes objects: "
        "a lifecycle rule must not.",
    ),
}
_WRONG_BUCKET: Final = (
    "Nothing that the records know is in this bucket, so they were left as they are. Check "
    "AUTOS_S3_BUCKET of the workers. If the objects are really lost, purge the process and "
    "download it again."
)
_JOBS: Final = {Kind.JOB_CLOSED, Kind.JOB_UNKNOWN, Kind.JOB_SUPERSEDED, Kind.JOB_UNRECORDED}

_NOT_COMPARED: Final[dict[str, str]] = {
    Step.JOBS: "jobs with Temporal",
    Step.RUNNING: "Temporal's running jobs with the records",
    Step.SUBSCRIPTIONS: "webhook URLs with jobs",
    Step.DELIVERIES: "deliveries with Temporal",
    Step.LEFTOVERS: "lifetimes",
    Step.OBJECTS: "documents with the bucket",
}


async def doctor(connection: Connection, *, dry_run: bool, patience: float) -> int:
    """Run the command; returns its exit code."""
    async with open_client(connection) as client:
        health = await client.health()
        for sentence in parts(health):
            _say(sentence)
        if not health.ok:
            return FAILED
        found = await _reconcile(client, dry_run=dry_run, patience=patience)
    if not found.ended:
        _say(_still(found))
        return FAILED
    for sentence in explain(found, dry_run=dry_run):
        _say(sentence)
    return FAILED if found.left or found.unfinished or found.status == "failed" else 0


async def _reconcile(client: ApiClient, *, dry_run: bool, patience: float) -> Reconciliation:
    deadline = time.monotonic() + patience
    found = await client.reconcile(dry_run=dry_run, wait=int(min(_WAIT, patience)))
    while not found.ended and (left := deadline - time.monotonic()) > 1:
        found = await client.reconciliation(found.id, wait=int(min(_WAIT, left)))
        if found.status == "pending":
            # Two looks without a worker are enough to say so.
            break
    return found


def parts(health: Health) -> list[str]:
    """One sentence for each part that the API asked."""
    return [
        f"{name}: answers." if part.ok else f"{name}: {_AWAY.get(name, 'cannot be reached.')}"
        for name, part in health.parts.items()
    ]


def explain(found: Reconciliation, *, dry_run: bool) -> list[str]:
    """What was found, what was done, and what is to be done, in sentences."""
    if found.status == "failed":
        return ["The reconciliation was ended from outside. Run `autos doctor` again."]
    told = [line for findings in found.findings for line in _of_a_kind(findings, dry_run=dry_run)]
    told += [
        f"Not compared: {_NOT_COMPARED.get(step, step)}. A part did not answer; the log of "
        "the workers says which. Run `autos doctor` again when it is back."
        for step in found.unfinished
    ]
    return told or ["Records, Temporal and the bucket agree."]


def _of_a_kind(findings: Findings, *, dry_run: bool) -> list[str]:
    try:
        kind = Kind(findings.kind)
    except ValueError:
        # Of a newer service.
        return [f"{findings.found} of {findings.kind}, {findings.mended} of them mended."]
    explanation = EXPLANATIONS[kind]
    noun = "jobs " if kind in _JOBS else ""
    lines = [f"{findings.found} {noun}{explanation.found}"]
    if dry_run:
        lines.append("  Nothing was changed. Without --dry-run:")
    if findings.mended or dry_run:
        lines.append(f"  {explanation.done}")
    if findings.mended == findings.found or dry_run or kind is not Kind.OBJECT_MISSING:
        lines.append(f"  {explanation.advice}")
    else:
        lines.append(f"  {findings.found - findings.mended} are left. {_WRONG_BUCKET}")
    for finding in findings.first[:_SHOWN]:
        process = f" of {finding.process_number}" if finding.process_number else ""
        lines.append(f"    {finding.id}{process}")
    if findings.first and findings.found > _SHOWN:
        lines.append(f"    and {findings.found - _SHOWN} more")
    return lines


def _still(found: Reconciliation) -> str:
    if found.status == "pending":
        return (
            "workers: none takes up the reconciliation, so none does jobs either. Start "
            "`autos worker`, or look at its log; it goes on by itself then."
        )
    return (
        "workers: at work. The reconciliation is not through yet and goes on by itself; "
        "`autos doctor` joins it when it is called again."
    )


def _say(sentence: str) -> None:
    console.print(sentence, markup=False, soft_wrap=True)
