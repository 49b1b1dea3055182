"""Starting jobs: when one is needed, and in which order records and engine are asked.

The subscription is written first, the engine is asked second, the job's row is written last. A
crash in between loses nothing that was accepted: without the engine's word there is no 2xx, and a
job whose row is missing writes it itself.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.http.api_keys import Caller
from api.problems import INVALID_REQUEST, NO_ACCESS, PROCESS_NOT_FOUND, Problem
from api.services import Services
from autos.cnj import CaseNumber
from autos.contracts.download import Attach
from autos.contracts.states import JobStatus, Reason
from autos.records import documents, jobs, processes, subscriptions
from autos.records.models import Job, Process, Subscription
from autos.temporal_client import job_options
from autos.webhooks.guard import Blocked, check_url

METADATA_PATIENCE_SECONDS: Final = 3.0
REFUSAL_LASTS: Final = timedelta(seconds=60)
"""A process the source has just refused is not asked for again by a mere look at it."""

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
        services: the parts of this API process.
        caller: who asks.
        case: which process.
        max_age: seconds for which a held copy of the metadata will do.
        webhook_url: told at the end, if given.
        payload: what the webhook carries, `full` or `thin`.
        request_id: the same for every repetition of a request, which then leaves one subscription
            behind and is told of one job, whatever became of the first; None for a request that
            is not repeated.

    Raises:
        Problem: the webhook's address may not be used.
    """
    if webhook_url is not None:
        try:
            check_url(webhook_url, allow_private=services.settings.webhook_allow_private)
        except Blocked as blocked:
            raise Problem(INVALID_REQUEST, str(blocked)) from blocked

    async def keep(session: AsyncSession) -> Subscription | None:
        if webhook_url is None:
            return None
        return await subscriptions.add(
            session,
            request_id=request_id,
            process_number=case.digits,
            api_key_id=caller.id,
            url=webhook_url,
            payload=payload,
        )

    async with services.records.transaction() as session:
        await processes.ensure(session, case)
        running = None
        # A repetition that gives a webhook has to find its own subscription again.
        if request_id is None or webhook_url is None:
            running = await _running(session, caller, case, webhook_url, payload)
        subscription = await keep(session) if running is None else None
    if running is not None:
        if await _does_it_all(services, case, running, max_age):
            return running.job_id
        async with services.records.transaction() as session:
            subscription = await keep(session)
    if subscription is not None and subscription.job_id is not None:
        # The request was accepted before, but its answer was lost; the job has ended meanwhile.
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
        # A purge may have come in between; the job that was just promised has its place again.
        await processes.ensure(session, case)
        if subscription is not None:
            await subscriptions.restore(session, subscription)
        await jobs.add_pending(session, job_id=job_id, process_number=case.digits)
    services.statuses.forget(case.digits)
    return job_id


async def start_if_needed(
    services: Services, caller: Caller, case: CaseNumber, webhook_url: str | None = None
) -> None:
    """Start or join a job unless there is nothing to do: everything is held and fresh.

    A webhook is something to do once per change: as long as nothing has changed since its last
    event it is not told again.

    Args:
        services: the parts of this API process.
        caller: who asks.
        case: which process.
        webhook_url: told at the end, if given.

    Raises:
        Problem: the webhook's address may not be used.
    """
    async with services.records.transaction() as session:
        process = await processes.get(session, case.digits)
        job = await jobs.latest(session, case.digits)
        held = await documents.held(session, case.digits, None)
        told = webhook_url is None or await subscriptions.is_notified(
            session, case.digits, caller.id, webhook_url
        )
    if process is not None and told:
        if job is not None and job.is_active:
            # The row may have outlived its job; only Temporal knows.
            execution = await services.temporal.execution(case.digits)
            if execution is not None and execution.running and webhook_url is None:
                return
        elif _fresh(process, held, services.settings.max_age) or _just_refused(job):
            return
    await start(services, caller, case, max_age=services.settings.max_age, webhook_url=webhook_url)


@dataclass(frozen=True, slots=True)
class _Running:
    """A job that may be doing all that is asked for already."""

    job_id: str
    subscription_id: UUID | None
    """The caller's own with the same address, which the job is to announce to."""


async def _running(
    session: AsyncSession, caller: Caller, case: CaseNumber, webhook_url: str | None, payload: str
) -> _Running | None:
    job = await jobs.latest(session, case.digits)
    if job is None or not job.is_active:
        return None
    if webhook_url is None:
        return _Running(job.id, None)
    known = await subscriptions.waiting(session, case.digits, caller.id, webhook_url, payload)
    return _Running(job.id, known) if known else None


async def _does_it_all(
    services: Services, case: CaseNumber, running: _Running, max_age: int
) -> bool:
    """True if attaching would change nothing; then it is left out, for it costs history.

    Without an answer, or with one from a job that the records do not know, it is not.
    """
    known = str(running.subscription_id) if running.subscription_id else None
    check = await services.temporal.check_attach(
        case.digits, Attach(subscription_id=known, max_age_seconds=max_age)
    )
    return check is not None and not check.changes and check.job_id == running.job_id


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
    """Raise the problem of a job that ended because the source refused the process."""
    kind = _REFUSALS.get(Reason(job.reason)) if job and job.reason else None
    if job and kind and job.status == JobStatus.FAILED:
        raise Problem(kind, reason=job.reason)


def _fresh(process: Process, held: documents.Held, max_age: int) -> bool:
    return (
        process.fetched_at is not None
        and process.fetched_at > datetime.now(UTC) - timedelta(seconds=max_age)
        and held.settled
    )


def _just_refused(job: Job | None) -> bool:
    return (
        job is not None
        and job.status == JobStatus.FAILED
        and job.reason in _REFUSALS
        and job.completed_at is not None
        and job.completed_at > datetime.now(UTC) - REFUSAL_LASTS
    )
