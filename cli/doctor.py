"""`autos doctor`: says how each part is, has a reconciliation run, and explains what it found.

It goes through the REST API, so it works from any machine. The API looks at the parts; the
reconciliation is what the service does by itself every few minutes, with the store compared, too.
"""

import time
from dataclasses import dataclass
from typing import Final, NamedTuple

from autos.contracts.reconciliation import Kind, Step
from cli.answers import Check, Findings, Health, Reconciliation
from cli.client import ApiClient, open_client
from cli.connection import Connection
from cli.errors import FAILED
from cli.terminal import print_json, say

COULD_NOT_LOOK: Final = 2

_WAIT: Final = 20
"""Seconds that one request waits."""
_SHOWN: Final = 5
"""Of each kind; the API answers more of them."""

_AWAY: Final = {
    "records": "Check AUTOS_DATABASE_URL and the PostgreSQL server.",
    "engine": "Check TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and the Temporal server. No new job is "
    "accepted meanwhile.",
    "store": "Check AUTOS_S3_ENDPOINT, AUTOS_S3_BUCKET, the keys, and that there is such a bucket.",
}
_MARKS: Final = {True: "ok  ", False: "!!  ", None: "??  "}


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
        "Their rows have an end now, and their subscribers are notified.",
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
        "webhook URLs were accepted, and no job was going to call them.",
        "Each is attached to a job of its process, which calls it at its end.",
        "Nothing is to be done.",
    ),
    Kind.DELIVERY_STOPPED: Explanation(
        "events were not delivered, and no delivery was under way.",
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


@dataclass(frozen=True, slots=True)
class Options:
    """How the doctor works."""

    dry_run: bool = False
    patience: float = 300
    """Seconds to wait for the reconciliation."""
    as_json: bool = False


async def doctor(connection: Connection, options: Options) -> int:
    """Run the command; returns its exit code."""
    async with open_client(connection) as client:
        health = await client.health()
        # Without records there are no keys, and so no diagnosis.
        away = any(not part.ok for name, part in health.parts.items() if name == "records")
        checks = parts(health) if away else (await client.diagnosis()).checks
        report(checks, options)
        found = await _reconcile(client, options) if health.ok else None
    if options.as_json:
        reconciliation = found.as_sent() if found else None
        print_json(
            {"checks": [check.as_sent() for check in checks], "reconciliation": reconciliation}
        )
    elif found is not None:
        for sentence in explain(found, dry_run=options.dry_run) if found.ended else [_still(found)]:
            say(sentence)
    return verdict(checks, found)


def verdict(checks: list[Check], found: Reconciliation | None) -> int:
    """0: all is well or mended, 1: something is left for a person, 2: something was not seen."""
    left = found is not None and (
        not found.ended or found.left or found.unfinished or found.status == "failed"
    )
    if left or any(check.ok is False for check in checks):
        return FAILED
    return COULD_NOT_LOOK if any(check.ok is None for check in checks) else 0


def report(checks: list[Check], options: Options) -> None:
    """One line for each check, and what to do where it found something."""
    if options.as_json:
        return
    for check in checks:
        say(f"{_MARKS[check.ok]} {check.name}: {check.detail}")
        if not check.ok and check.advice:
            say(f"     {check.advice}")


async def _reconcile(client: ApiClient, options: Options) -> Reconciliation:
    deadline = time.monotonic() + options.patience
    found = await client.reconcile(dry_run=options.dry_run, wait=int(min(_WAIT, options.patience)))
    while not found.ended and (left := deadline - time.monotonic()) > 1:
        found = await client.reconciliation(found.id, wait=int(min(_WAIT, left)))
        if found.status == "pending":
            # Two looks without a worker are enough to say so.
            break
    return found


def parts(health: Health) -> list[Check]:
    """What the API's readiness says, as checks."""
    return [
        Check(
            name=name,
            ok=part.ok,
            detail="answers." if part.ok else "cannot be reached.",
            advice=None if part.ok else _AWAY.get(name),
        )
        for name, part in health.parts.items()
    ]


def explain(found: Reconciliation, *, dry_run: bool) -> list[str]:
    """What was found, what was done, and what is to be done, in sentences."""
    if found.status == "failed":
        return ["The reconciliation was ended from outside. Run `autos doctor` again."]
    lines = [line for findings in found.findings for line in _of_a_kind(findings, dry_run=dry_run)]
    lines += [
        f"Not compared: {_NOT_COMPARED.get(step, step)}. A part did not answer; the log of "
        "the workers says which. Run `autos doctor` again when it is back."
        for step in found.unfinished
    ]
    return lines or ["Records, Temporal and the bucket agree."]


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
