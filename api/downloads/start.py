"""Starting jobs: when one is needed, and in which order records and Temporal are written.

The subscription is written first, Temporal is called second, the job's row is written last. A crash
in between loses nothing that was accepted: a request that did not reach Temporal is not answered
with 2xx, and a job whose row is missing writes it itself.
"""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from api.http.auth import Caller
from api.problems import INVALID_REQUEST, NO_ACCESS, PROCESS_NOT_FOUND, Problem
from api.services import Services
from autos.cnj import CaseNumber
from autos.contracts.download import Attach
from autos.contracts.reasons import Reason
from autos.contracts.states import JobStatus
from autos.records import documents, jobs, processes, subscriptions
from autos.records.models import Job, Process
from autos.temporal_client import job_options
from autos.webhooks.address_guard import Blocked, check_url

METADATA_PATIENCE_SECONDS: Final = 3.0
REFUSAL_LASTS: Final = timedelta(seconds=60)
"""How long a GET starts no new job for a process that the source has refused."""

_REFUSALS: Final = {Reason.NOT_FOUND: PROCESS_NOT_FOUND, Reason.NO_ACCESS: NO_ACCESS}


async def start(
    services: Services,
    caller: Caller,
    case: CaseNumber,
    *,
    max_age: int,
    webhook_url: str | None = None,
    payload: str = "full",
    request_id: UUID | None = None,
) -> str:
    """Start the process's job or join the running one; the job's id.

    Args:
        services: the connections of this API process.
        caller: owns the webhook.
        case: the process.
        max_age: seconds for which a stored copy of the metadata counts as fresh.
        webhook_url: gets an event when the job has ended.
        payload: what the webhook carries, `full` or `thin`.
        request_id: the same for every repetition of a request, so that all of them make one
            subscription and get one job; None for a request that is not repeated.

    Raises:
        Problem: the webhook's URL is not allowed.
    """
    if webhook_url is not None:
        try:
            check_url(webhook_url, allow_private=services.settings.webhook_allow_private)
        except Blocked as blocked:
            raise Problem(INVALID_REQUEST, str(blocked)) from blocked
    # A repetition with a webhook must find the subscription of the first request instead.
    if request_id is None or webhook_url is None:
        attached = await _attached(services, caller, case, webhook_url, payload, max_age)
        if attached is not None:
            return attached
    subscription = None
    async with services.records.transaction() as session:
        await processes.ensure(session, case)
        if webhook_url is not None:
            subscription = await subscriptions.add(
                session,
                request_id=request_id,
                process_number=case.digits,
                api_key_id=caller.id,
                url=webhook_url,
                payload=payload,
            )
    if subscription is not None and subscription.job_id is not None:
        # The request was accepted before, but its answer was lost, and the job has ended.
        return subscription.job_id
    job_id = await services.temporal.attach(
        case,
        Attach(
            subscription_id=str(subscription.id) if subscription else None,
            max_age_seconds=max_age,
        ),
        job_options(services.settings),
        fairness_key=str(caller.id),
    )
    async with services.records.transaction() as session:
        # A purge in between may have deleted what the accepted job needs.
        await processes.ensure(session, case)
        if subscription is not None:
            await subscriptions.restore(session, subscription)
        await jobs.add_pending(session, job_id=job_id, process_number=case.digits)
    services.statuses.forget(case.digits)
    return job_id


async def _attached(
    services: Services,
    caller: Caller,
    case: CaseNumber,
    webhook_url: str | None,
    payload: str,
    max_age: int,
) -> str | None:
    """The running job, if attaching would change nothing; each signal adds to its history.

    Also None if the job does not answer, or is not the one in the records.
    """
    subscription_id = None
    async with services.records.transaction() as session:
        job = await jobs.latest(session, case.digits)
        if job is None or not job.is_active:
            return None
        if webhook_url is not None:
            subscription_id = await subscriptions.waiting(
                session, case.digits, caller.id, webhook_url, payload
            )
            if subscription_id is None:
                return None
    check = await services.temporal.check_attach(
        case.digits,
        Attach(
            subscription_id=str(subscription_id) if subscription_id else None,
            max_age_seconds=max_age,
        ),
    )
    return job.id if check and check.job_id == job.id and not check.changes else None


async def start_if_needed(
    services: Services, caller: Caller, case: CaseNumber, webhook_url: str | None = None
) -> None:
    """Start or join a job unless everything is stored and fresh, or a job runs already.

    With a webhook, a job is started once per change: if nothing has changed since the webhook's
    last event, it is not notified again.

    Args:
        services: the connections of this API process.
        caller: owns the webhook.
        case: the process.
        webhook_url: gets an event when the job has ended.

    Raises:
        Problem: the webhook's URL is not allowed.
    """
    max_age = services.settings.max_age
    async with services.records.transaction() as session:
        process = await processes.get(session, case.digits)
        job = await jobs.latest(session, case.digits)
        held = await documents.held(session, case.digits, None)
        notified = webhook_url is None or await subscriptions.is_notified(
            session, case.digits, caller.id, webhook_url
        )
    if process is not None and notified:
        if job is not None and job.is_active:
            # The row may be out of date, so Temporal is queried.
            execution = await services.temporal.execution(case.digits)
            if execution is not None and execution.running and webhook_url is None:
                return
        elif _was_refused_lately(job) or (
            held.settled and processes.is_fresh(process.fetched_at, timedelta(seconds=max_age))
        ):
            return
    await start(services, caller, case, max_age=max_age, webhook_url=webhook_url)


async def metadata(services: Services, digits: str) -> tuple[Process | None, Job | None]:
    """The process and its newest job; waits a little for the first metadata to arrive."""
    deadline = time.monotonic() + METADATA_PATIENCE_SECONDS
    while True:
        async with services.records.transaction() as session:
            process = await processes.get(session, digits)
            job = await jobs.latest(session, digits)
        waiting = process is not None and process.fetched_at is None and job and job.is_active
        if not waiting or time.monotonic() > deadline:
            return process, job
        await asyncio.sleep(0.1)


def check_refused(job: Job | None) -> None:
    """Raise the problem of a job that failed because the source refused the process."""
    kind = _REFUSALS.get(Reason(job.reason)) if job and job.reason else None
    if job and kind and job.status == JobStatus.FAILED:
        raise Problem(kind, reason=job.reason)


def _was_refused_lately(job: Job | None) -> bool:
    return (
        job is not None
        and job.status == JobStatus.FAILED
        and job.reason in _REFUSALS
        and job.completed_at is not None
        and job.completed_at > datetime.now(UTC) - REFUSAL_LASTS
    )
