"""Checks of every part of the service, each with advice if it fails.

The checks run concurrently, each with a time-out. They run in the API process, so they do not show
whether a worker reaches the same part. Results contain no token, key or address.
"""

import asyncio
import shutil
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import httpx2
import structlog
from sqlalchemy.exc import SQLAlchemyError

from api.credentials.routes import get_credential
from api.http.errors import as_problem
from api.services import Services
from autos.cnj import CaseNumber
from autos.contracts.reasons import Reason, WaitReason
from autos.contracts.temporal_names import JOBS_QUEUE, SOURCE_QUEUE, WEBHOOKS_QUEUE
from autos.records import database, migrate
from autos.records.credentials import DatabaseCredentialStore
from autos.records.jobs import waits
from autos.source.replies.judge import Answer, judge_listing
from autos.store.object_keys import PROCESSES_PREFIX
from autos.vault import DecryptionFailed

log = structlog.get_logger(__name__)

CHECK_SECONDS: Final = 10.0
SKEW: Final = timedelta(seconds=30)
"""A smaller difference does no harm; stores refuse signatures from 15 minutes on."""
FREE_BYTES: Final = 2_000_000_000
FREE_SHARE: Final = 0.05
"""Minimum free space of the disk: the check fails below both."""
_BODY_BYTES: Final = 1024 * 1024
_ANY_NUMBER: Final = CaseNumber.build(9_999_999, 2024, 4, 3, 6100)
"""A valid number that no case has."""
_QUEUES: Final = (JOBS_QUEUE, SOURCE_QUEUE, WEBHOOKS_QUEUE)

_NEW_CREDENTIAL: Final = (
    "Set a new one with `autos credentials set`; waiting jobs continue immediately."
)
_SLOW_DOWN: Final = (
    "Lower AUTOS_SOURCE_MAX_IN_FLIGHT and set AUTOS_SOURCE_MAX_PER_SECOND for the workers; for "
    "`blocked` check AUTOS_PDPJ_USER_AGENT, too. Jobs wait and continue automatically."
)
_SOURCE_ADVICE: Final = {
    Reason.CREDENTIAL: _NEW_CREDENTIAL,
    Reason.RATE_LIMITED: _SLOW_DOWN,
    Reason.BLOCKED: _SLOW_DOWN,
}
_WAIT_ADVICE: Final = {
    WaitReason.CREDENTIAL: _NEW_CREDENTIAL,
    WaitReason.SOURCE: "See the check of the source. `autos jobs resume` probes immediately.",
    WaitReason.RECORDS: "Check that the workers reach PostgreSQL.",
    WaitReason.STORAGE: (
        "Check that the bucket accepts objects and that the workers' disks have free space."
    ),
    WaitReason.OPERATOR: "`autos jobs resume` ends the pause.",
}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a check; `ok` is None if the check was not possible."""

    ok: bool | None
    detail: str
    advice: str | None = None


Check = Callable[[Services], Awaitable[CheckResult]]


async def diagnose(services: Services) -> dict[str, CheckResult]:
    """Run all checks; the results are in the order of `CHECKS`."""
    found = await asyncio.gather(*(_bounded(name, services) for name in CHECKS))
    return dict(zip(CHECKS, found, strict=True))


async def _bounded(name: str, services: Services) -> CheckResult:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await CHECKS[name](services)
    except TimeoutError:
        return CheckResult(False, f"No answer within {CHECK_SECONDS:.0f} s.", _AWAY.get(name))
    except Exception as error:
        problem = as_problem(error)
        if problem is not None:
            return CheckResult(False, f"{problem.kind.title}.", _AWAY.get(name))
        if not isinstance(error, SQLAlchemyError | OSError):
            raise
        # The text contains addresses and statements.
        log.warning("check_failed", check=name, error=type(error).__name__)
        return CheckResult(False, f"It failed ({type(error).__name__}).", _AWAY.get(name))


async def records(services: Services) -> CheckResult:
    """PostgreSQL, and whether its schema is this release's."""
    needed = await asyncio.to_thread(migrate.newest_schema)
    async with services.records.transaction() as session:
        held = await migrate.schema(session)
    if held != needed:
        text = (
            f"PostgreSQL answers; its schema is {held or 'missing'}, this release needs {needed}."
        )
        return CheckResult(False, text, "Run `autos migrate`, then restart workers and API.")
    return CheckResult(True, f"PostgreSQL answers; its schema is the newest ({held}).")


async def engine(services: Services) -> CheckResult:
    """Temporal, and whether it knows our search attributes."""
    await services.temporal.ready()
    missing = await services.temporal.missing_search_attributes()
    if missing is None:
        return CheckResult(None, "Temporal answers; this key may not list search attributes.")
    if missing:
        text = f"Temporal answers, but lacks the search attributes {', '.join(missing)}."
        return CheckResult(
            False, text, "Register them as the README says; no job starts without them."
        )
    return CheckResult(True, "Temporal answers, and the search attributes are registered.")


async def workers(services: Services) -> CheckResult:
    """Whether every task queue is polled."""
    counts = [await services.temporal.pollers(queue) for queue in _QUEUES]
    idle = [queue for queue, count in zip(_QUEUES, counts, strict=True) if not count]
    if idle:
        text = f"No worker polls {', '.join(idle)}: jobs do not run."
        return CheckResult(False, text, "Start `autos worker`, or check its log.")
    return CheckResult(True, f"{min(counts)} at work.")


async def store(services: Services) -> CheckResult:
    """Whether the bucket accepts, returns and deletes an object."""
    key = f"{PROCESSES_PREFIX}.probe/{uuid.uuid4()}.json"
    await services.store.put_json(key, b"{}")
    try:
        await services.store.get(key)
    finally:
        await services.store.delete([key])
    return CheckResult(True, "The bucket accepts, returns and deletes objects.")


async def source(services: Services) -> CheckResult:
    """One request to the source, with the credential in use: reachable, and not refused."""
    settings = services.settings
    if not settings.pdpj_base_url:
        return CheckResult(None, "Not checked: AUTOS_PDPJ_BASE_URL is not set for the API.")
    headers = {"User-Agent": settings.pdpj_user_agent, "Accept": "application/json"}
    token = await _token(services)
    if token:
        headers["Authorization"] = f"Bearer {token}"
    address = settings.pdpj_base_url.rstrip("/") + (
        f"/api/v2/processos?numeroProcesso={_ANY_NUMBER.masked}"
    )
    body = bytearray()
    try:
        async with (
            httpx2.AsyncClient(trust_env=False, timeout=CHECK_SECONDS) as http,
            http.stream("GET", address, headers=headers) as reply,
        ):
            async for chunk in reply.aiter_bytes():
                body += chunk
                if len(body) > _BODY_BYTES:
                    break
    except httpx2.HTTPError as failed:
        text = f"It cannot be reached ({type(failed).__name__})."
        return CheckResult(
            False, text, "Check AUTOS_PDPJ_BASE_URL and the network. Jobs wait for it."
        )
    judged = judge_listing(reply.status_code, reply.headers, bytes(body))
    if isinstance(judged, Answer) or judged.reason in (Reason.NOT_FOUND, Reason.NO_ACCESS):
        return CheckResult(True, "It answers.")
    if judged.reason is Reason.CREDENTIAL and not token:
        return CheckResult(True, "It answers, and requires a credential.")
    advice = _SOURCE_ADVICE.get(judged.reason, "Usually nothing: jobs wait and continue.")
    return CheckResult(False, f"{judged.reason.text} ({judged.reason.value})", advice)


async def _token(services: Services) -> str | None:
    """The access token; None if there is none, or it is unusable."""
    try:
        held = await DatabaseCredentialStore(services.records, services.settings).load()
    except DecryptionFailed:
        return None
    expired = held is not None and held.expires_at is not None and held.expires_at <= _now()
    return held.access_token if held is not None and not expired else None


async def credential(services: Services) -> CheckResult:
    """The source's credential: set, in force, accepted."""
    try:
        state = await get_credential(services)
    except DecryptionFailed:
        text = "The stored credential cannot be decrypted: AUTOS_SECRET_KEY has changed."
        return CheckResult(False, text, f"Restore the key. {_NEW_CREDENTIAL}")
    if not state.is_set:
        return CheckResult(False, "None is set.", _NEW_CREDENTIAL)
    renewed = "is refreshed automatically" if state.refreshable else "cannot be refreshed"
    if state.refused_since is not None:
        text = (
            f"The source refuses it since {state.refused_since:%Y-%m-%d %H:%M} UTC; "
            f"{state.waiting_jobs} jobs wait."
        )
        return CheckResult(False, text, _NEW_CREDENTIAL)
    if state.expires_at is None:
        return CheckResult(True, f"Set, {renewed}; it does not say when it expires.")
    moment = f"{state.expires_at:%Y-%m-%d %H:%M} UTC"
    if state.expires_at <= _now():
        return CheckResult(state.refreshable, f"It expired {moment}, {renewed}.", _NEW_CREDENTIAL)
    return CheckResult(True, f"Set, {renewed}, expires {moment}.")


async def jobs(services: Services) -> CheckResult:
    """What running jobs wait for."""
    async with services.records.transaction() as session:
        found = await waits(session)
    if not found:
        return CheckResult(True, "None waits.")
    lines, advice = [], {}
    for wait in found:
        reason = f" ({wait.reason})" if wait.reason else ""
        since = f" since {wait.since:%Y-%m-%d %H:%M} UTC" if wait.since else ""
        lines.append(f"{wait.jobs} wait for {wait.waiting_for}{reason}{since}")
        advice[wait.waiting_for] = _WAIT_ADVICE[wait.waiting_for]
    paused_only = set(advice) == {WaitReason.OPERATOR}
    return CheckResult(paused_only, f"{'; '.join(lines)}.", " ".join(advice.values()))


async def clock(services: Services) -> CheckResult:
    """The API's clock against the database's, and the store's where an endpoint is set."""
    async with services.records.transaction() as session:
        skews = {"the database": await database.clock(session) - _now()}
    if services.settings.s3_endpoint:
        try:
            async with httpx2.AsyncClient(trust_env=False, timeout=CHECK_SECONDS / 2) as http:
                reply = await http.head(services.settings.s3_endpoint)
            skews["the store"] = parsedate_to_datetime(reply.headers["Date"]) - _now()
        except (httpx2.HTTPError, KeyError, ValueError):
            # The check of the store reports that it is away.
            log.info("store_time_unknown")
    apart = [name for name, skew in skews.items() if abs(skew) > SKEW]
    if apart:
        text = f"The API's clock differs from that of {' and '.join(apart)} by more than {SKEW}."
        return CheckResult(
            False, text, "Synchronise the clocks (NTP): links and tokens depend on them."
        )
    return CheckResult(True, f"The API's agrees with that of {' and '.join(skews)}.")


async def disk(services: Services) -> CheckResult:
    """Free disk space on the API's machine; a full disk of a worker shows as a wait."""
    folder = services.settings.data_dir.absolute()
    total, free = await asyncio.to_thread(_usage, folder)
    text = f"{free / 1e9:.1f} GB free at AUTOS_DATA_DIR of the API's machine."
    if free < min(FREE_BYTES, FREE_SHARE * total):
        return CheckResult(
            False, text, "Free some space: a worker there cannot process large documents."
        )
    return CheckResult(True, text)


def _usage(folder: Path) -> tuple[int, int]:
    """Total and free bytes of the disk that the folder is on, or would be on."""
    usage = shutil.disk_usage(next(one for one in (folder, *folder.parents) if one.exists()))
    return usage.total, usage.free


def _now() -> datetime:
    return datetime.now(UTC)


CHECKS: Final[dict[str, Check]] = {
    "records": records,
    "engine": engine,
    "workers": workers,
    "store": store,
    "source": source,
    "credential": credential,
    "jobs": jobs,
    "clock": clock,
    "disk": disk,
}
_AWAY: Final = {
    "records": "Check AUTOS_DATABASE_URL and the server.",
    "engine": "Check TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and the server. No job is accepted.",
    "store": "Check AUTOS_S3_ENDPOINT, AUTOS_S3_BUCKET, the keys, their rights and the free space.",
}
