"""`autos doctor`: checks every part, runs a reconciliation, and explains what it found.

It uses the REST API only, so it works from any machine. The reconciliation does what the service's
schedules do: it compares the records with Temporal and with the bucket.
"""

import time
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Annotated, Final, NamedTuple

import typer

from api.diagnosis.schemas import Check, Diagnosis, Health
from api.reconciliations.schemas import Findings, Reconciliation
from autos.contracts.reconciliation import Kind, Step
from cli.client import ApiClient, Json, api_error, json_object, parse
from cli.command import AsJson, api_command
from cli.terminal import FAILED, print_json, print_line

app = typer.Typer()

CHECK_FAILED: Final = 2
"""Exit code: a part could not be checked."""

_WAIT: Final = 20
"""Seconds that one request waits for the reconciliation."""
_MAX_SHOWN: Final = 5
"""Findings of each kind that are printed with their ids."""

_UNREACHABLE: Final = {
    "records": "Check AUTOS_DATABASE_URL and the PostgreSQL server.",
    "engine": "Check TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and the Temporal server. New jobs are "
    "refused until it responds.",
    "store": "Check AUTOS_S3_ENDPOINT, AUTOS_S3_BUCKET and the keys, and that the bucket exists.",
}
_MARKS: Final = {True: "ok  ", False: "!!  ", None: "??  "}


class Explanation(NamedTuple):
    """The texts for one kind of finding."""

    found: str
    """Printed after the number of findings."""
    repaired: str
    advice: str


EXPLANATIONS: Final = {
    Kind.JOB_CLOSED: Explanation(
        "ended in Temporal without recording their end: they were terminated or timed out.",
        "Their end is now recorded, and their subscribers are notified.",
        "Stop jobs with `autos jobs cancel`, never with Terminate. To get the missing documents: "
        "`autos jobs retry-failed JOB`.",
    ),
    Kind.JOB_UNKNOWN: Explanation(
        "were accepted, but do not exist in Temporal.",
        "Each was started again, or closed if all of its documents are stored. Their subscribers "
        "are kept.",
        "Find out why Temporal lost them: check its database, its backup and TEMPORAL_NAMESPACE.",
    ),
    Kind.JOB_SUPERSEDED: Explanation(
        "were recorded as running, although their process has a newer job.",
        "Their end is now recorded. The newer jobs continue.",
        "No action is needed.",
    ),
    Kind.JOB_UNRECORDED: Explanation(
        "run in Temporal but were not in the records.",
        "They now have a record, and appear in lists and statuses.",
        "If there are many, check whether the database was restored from an older backup.",
    ),
    Kind.SUBSCRIPTION_OPEN: Explanation(
        "webhook URLs were accepted, but belonged to no job.",
        "Each is now attached to a job of its process, and is called when the job ends.",
        "No action is needed.",
    ),
    Kind.DELIVERY_STOPPED: Explanation(
        "events were not delivered, and no delivery was running.",
        "Each is being delivered again with its original id.",
        "Do not terminate `webhook/…` workflows: they end by themselves after three days.",
    ),
    Kind.IDEMPOTENCY_KEY_EXPIRED: Explanation(
        "stored responses to idempotent requests were older than a day.",
        "They are deleted.",
        "No action is needed.",
    ),
    Kind.ATTEMPT_EXPIRED: Explanation(
        "delivery attempts were older than AUTOS_ATTEMPTS_DAYS.",
        "They are deleted; the deliveries themselves are kept.",
        "No action is needed.",
    ),
    Kind.RECEIPT_EXPIRED: Explanation(
        "webhooks in the test receiver were older than AUTOS_RECEIPTS_DAYS.",
        "They are deleted.",
        "No action is needed.",
    ),
    Kind.OBJECT_ORPHANED: Explanation(
        "objects in the bucket belonged to no document.",
        "They are deleted; no record referred to them.",
        "No action is needed. If there are many, check whether the database was restored from an "
        "older backup.",
    ),
    Kind.OBJECT_MISSING: Explanation(
        "documents are recorded as available, but their objects are not in the bucket.",
        "They are now recorded as failed, with the reason `storage`.",
        "Download them again with `autos jobs retry-failed JOB`, and find out what deletes "
        "objects: the bucket must not have a lifecycle rule that does.",
    ),
}
_WRONG_BUCKET: Final = (
    "None of the recorded objects is in this bucket, so they were not changed. Check "
    "AUTOS_S3_BUCKET of the workers. If the objects are really lost, purge the process and "
    "download it again."
)
_JOBS: Final = {Kind.JOB_CLOSED, Kind.JOB_UNKNOWN, Kind.JOB_SUPERSEDED, Kind.JOB_UNRECORDED}

_STEPS: Final[dict[str, str]] = {
    Step.JOBS: "jobs with Temporal",
    Step.RUNNING: "Temporal's running jobs with the records",
    Step.SUBSCRIPTIONS: "webhook URLs with jobs",
    Step.DELIVERIES: "deliveries with Temporal",
    Step.LEFTOVERS: "expired records",
    Step.OBJECTS: "documents with the bucket",
}


@partial(api_command, app, "doctor", failure=CHECK_FAILED)
async def doctor(
    client: ApiClient,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Report only; repair nothing.")
    ] = False,
    patience: Annotated[int, typer.Option(min=1, help="Seconds to wait for the report.")] = 300,
    as_json: AsJson = False,
) -> int:
    """Check every part, repair inconsistencies, and list what to do (needs an admin key).

    Exit code 0: no problem is left; 1: something needs your attention; 2: a part could not be
    checked.
    """
    health = await _health(client)
    records = health.parts.get("records")
    if records is not None and not records.ok:
        # Without the records the API cannot verify keys, and rejects every other request.
        checks = [_check(name, ok=part.ok) for name, part in health.parts.items()]
        checks_json = [check.model_dump() for check in checks]
    else:
        diagnosis = await client.request("GET", "/diagnosis")
        checks, checks_json = parse(Diagnosis, diagnosis).checks, diagnosis["checks"]
    if not as_json:
        print_checks(checks)
    payload = await _reconcile(client, patience, dry_run=dry_run) if health.ok else None
    reconciliation = parse(Reconciliation, payload) if payload else None
    if as_json:
        print_json({"checks": checks_json, "reconciliation": payload})
    elif reconciliation is not None:
        for line in explain(reconciliation, dry_run=dry_run):
            print_line(line)
    return exit_code(checks, reconciliation)


async def _health(client: ApiClient) -> Health:
    """The state of the API's dependencies; the API returns 503 if one is unavailable."""
    response = await client.http.get("/health/ready")
    if response.status_code not in (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE):
        raise api_error(response)
    return parse(Health, json_object(response))


def _check(name: str, *, ok: bool) -> Check:
    detail = "responds." if ok else "cannot be reached."
    return Check(name=name, ok=ok, detail=detail, advice=None if ok else _UNREACHABLE.get(name))


def exit_code(checks: Sequence[Check], reconciliation: Reconciliation | None) -> int:
    """0: no problem is left; 1: something needs attention; 2: a part could not be checked."""
    left = reconciliation is not None and (
        not _ended(reconciliation)
        or reconciliation.left
        or reconciliation.unfinished
        or reconciliation.status == "failed"
    )
    if left or any(check.ok is False for check in checks):
        return FAILED
    return CHECK_FAILED if any(check.ok is None for check in checks) else 0


def print_checks(checks: Sequence[Check]) -> None:
    """Print a line for each check, and the advice for a check that did not pass."""
    for check in checks:
        print_line(f"{_MARKS[check.ok]} {check.name}: {check.detail}")
        if not check.ok and check.advice:
            print_line(f"     {check.advice}")


async def _reconcile(client: ApiClient, patience: float, *, dry_run: bool) -> Json:
    """Start or join a reconciliation, and wait up to `patience` seconds; returns its JSON."""
    deadline = time.monotonic() + patience
    payload = await client.request(
        "POST",
        "/reconciliations",
        json={"dry_run": dry_run},
        headers={"Prefer": f"wait={int(min(_WAIT, patience))}"},
    )
    reconciliation = parse(Reconciliation, payload)
    while not _ended(reconciliation) and (left := deadline - time.monotonic()) > 1:
        headers = {"Prefer": f"wait={int(min(_WAIT, left))}"}
        path = f"/reconciliations/{reconciliation.id}"
        payload = await client.request("GET", path, headers=headers)
        reconciliation = parse(Reconciliation, payload)
        if reconciliation.status == "pending":
            # Still not started after two waits: no worker runs.
            break
    return payload


def _ended(reconciliation: Reconciliation) -> bool:
    return reconciliation.status in ("completed", "failed")


def explain(reconciliation: Reconciliation, *, dry_run: bool) -> list[str]:
    """Describe what was found, what was repaired, and what to do."""
    match reconciliation.status:
        case "pending":
            return [
                "workers: no worker has started the reconciliation, so no jobs run either. Start "
                "`autos worker`, or check its log. The reconciliation then starts by itself."
            ]
        case "processing":
            return [
                "workers: running. The reconciliation has not finished and continues by itself. "
                "Run `autos doctor` again to see its report."
            ]
        case "failed":
            return ["The reconciliation was terminated. Run `autos doctor` again."]
    lines = [
        line for findings in reconciliation.findings for line in _explain_kind(findings, dry_run)
    ]
    lines += [
        f"Not compared: {_STEPS.get(step, step)}. A part did not respond; see the log of the "
        "workers. Run `autos doctor` again when the part is available."
        for step in reconciliation.unfinished
    ]
    return lines or ["Records, Temporal and the bucket agree."]


def _explain_kind(findings: Findings, dry_run: bool) -> list[str]:
    kind = findings.kind
    explanation = EXPLANATIONS.get(kind)
    if explanation is None:
        # The service is newer than this command.
        return [f"{findings.found} of {kind}, {findings.mended} of them repaired."]
    noun = "jobs " if kind in _JOBS else ""
    lines = [f"{findings.found} {noun}{explanation.found}"]
    if dry_run:
        lines.append("  Nothing was changed. Without --dry-run:")
    if findings.mended or dry_run:
        lines.append(f"  {explanation.repaired}")
    if findings.mended == findings.found or dry_run or kind is not Kind.OBJECT_MISSING:
        lines.append(f"  {explanation.advice}")
    else:
        lines.append(f"  {findings.found - findings.mended} are left. {_WRONG_BUCKET}")
    for finding in findings.first[:_MAX_SHOWN]:
        process = f" of {finding.process_number}" if finding.process_number else ""
        lines.append(f"    {finding.id}{process}")
    if findings.first and findings.found > _MAX_SHOWN:
        lines.append(f"    and {findings.found - _MAX_SHOWN} more")
    return lines
