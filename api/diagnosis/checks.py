"""Checks of every part of the service: what is wrong, and what to do about it.

The checks run side by side, each bounded in time. They run in the API's process, and do not say
whether a worker reaches the same part. No check answers with a token, a key or an address.
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
from autos.vault import SealBroken

log = structlog.get_logger(__name__)

CHECK_SECONDS: Final = 10.0
SKEW: Final = timedelta(seconds=30)
"""A smaller difference does no harm; stores refuse signatures from 15 minutes on."""
FREE_BYTES: Final = 2_000_000_000
FREE_SHARE: Final = 0.05
"""Of the disk; less than both is too little."""
_BODY_BYTES: Final = 1024 * 1024
_ANY_NUMBER: Final = CaseNumber.build(9_999_999, 2024, 4, 3, 6100)
"""No case has this number; a source that works says so."""
_QUEUES: Final = (JOBS_QUEUE, SOURCE_QUEUE, WEBHOOKS_QUEUE)

_NEW_CREDENTIAL: Final = "Set a new one with `autos credentials set`; waiting jobs go on at once."
_SLOW_DOWN: Final = (
    "Lower AUTOS_SOURCE_MAX_IN_FLIGHT and set AUTOS_SOURCE_MAX_PER_SECOND for the workers; for "
    "`blocked` check AUTOS_PDPJ_USER_AGENT, too. Jobs wait and go on by themselves."
)
_SOURCE_ADVICE: Final = {
    Reason.CREDENTIAL: _NEW_CREDENTIAL,
    Reason.RATE_LIMITED: _SLOW_DOWN,
    Reason.BLOCKED: _SLOW_DOWN,
}
_WAIT_ADVICE: Final = {
    WaitReason.CREDENTIAL: _NEW_CREDENTIAL,
    WaitReason.SOURCE: "See the check of the source. `autos jobs resume` probes at once.",
    WaitReason.RECORDS: "See whether the workers reach PostgreSQL.",
    WaitReason.STORAGE: "See whether the bucket takes objects and the workers' disks have room.",
    WaitReason.OPERATOR: "`autos jobs resume` ends the pause.",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What a check found; `ok` is None where the check could not be made."""

    ok: bool | None
    detail: str
    advice: str | None = None


Check = Callable[[Services], Awaitable[Found]]


async def diagnose(services: Services) -> dict[str, Found]:
    """What each check found, by its name and in the order of `CHECKS`."""
    found = await asyncio.gather(*(_bounded(name, services) for name in CHECKS))
    return dict(zip(CHECKS, found, strict=True))


async def _bounded(name: str, services: Services) -> Found:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await CHECKS[name](services)
    except TimeoutError:
        return Found(False, f"No answer within {CHECK_SECONDS:.0f} s.", _AWAY.get(name))
    except Exception as error:
        problem = as_problem(error)
        if problem is not None:
            return Found(False, f"{problem.kind.title}.", _AWAY.get(name))
        if not isinstance(error, SQLAlchemyError | OSError):
            raise
        # Its text holds addresses and statements.
        log.warning("check_failed", check=name, error=type(error).__name__)
        return Found(False, f"It failed ({type(error).__name__}).", _AWAY.get(name))


async def records(services: Services) -> Found:
    """PostgreSQL, and whether its schema is this release's."""
    needed = await asyncio.to_thread(migrate.newest_schema)
    async with services.records.transaction() as session:
        held = await migrate.schema(session)
    if held != needed:
        text = (
            f"PostgreSQL answers; its schema is {held or 'missing'}, this release needs {needed}."
        )
        return Found(False, text, "Run `autos migrate`, then restart workers and API.")
    return Found(True, f"PostgreSQL answers; its schema is the newest ({held}).")


async def engine(services: Services) -> Found:
    """Temporal, and whether it knows our search attributes."""
    await services.temporal.ready()
    missing = await services.temporal.missing_search_attributes()
    if missing is None:
        return Found(None, "Temporal answers; this key may not list search attributes.")
    if missing:
        text = f"Temporal answers, but lacks the search attributes {', '.join(missing)}."
        return Found(False, text, "Register them as the README says; no job starts without them.")
    return Found(True, "Temporal answers and knows the search attributes.")


async def workers(services: Services) -> Found:
    """Whether every task queue is polled."""
    counts = [await services.temporal.pollers(queue) for queue in _QUEUES]
    idle = [queue for queue, count in zip(_QUEUES, counts, strict=True) if not count]
    if idle:
        text = f"No worker polls {', '.join(idle)}: jobs stand still."
        return Found(False, text, "Start `autos worker`, or look at its log.")
    return Found(True, f"{min(counts)} at work.")


async def store(services: Services) -> Found:
    """Whether the bucket takes, gives and deletes an object."""
    key = f"{PROCESSES_PREFIX}.probe/{uuid.uuid4()}.json"
    await services.store.put_json(key, b"{}")
    try:
        await services.store.get(key)
    finally:
        await services.store.delete([key])
    return Found(True, "The bucket takes, gives and deletes objects.")


async def source(services: Services) -> Found:
    """One request to the source, with the credential in use: reachable, and not refused."""
    settings = services.settings
    if not settings.pdpj_base_url:
        return Found(None, "Not checked: AUTOS_PDPJ_BASE_URL is not set for the API.")
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
        return Found(False, text, "Check AUTOS_PDPJ_BASE_URL and the network. Jobs wait for it.")
    judged = judge_listing(reply.status_code, reply.headers, bytes(body))
    if isinstance(judged, Answer) or judged.reason in (Reason.NOT_FOUND, Reason.NO_ACCESS):
        return Found(True, "It answers.")
    if judged.reason is Reason.CREDENTIAL and not token:
        return Found(True, "It answers, and requires a credential.")
    advice = _SOURCE_ADVICE.get(judged.reason, "Nothing, as a rule: jobs wait and go on.")
    return Found(False, f"{judged.reason.text} ({judged.reason.value})", advice)


async def _token(services: Services) -> str | None:
    """The access token; None if there is none, or it cannot work."""
    try:
        held = await DatabaseCredentialStore(services.records, services.settings).load()
    except SealBroken:
        return None
    expired = held is not None and held.expires_at is not None and held.expires_at <= _now()
    return held.access_token if held is not None and not expired else None


async def credential(services: Services) -> Found:
    """The source's credential: set, in force, accepted."""
    try:
        state = await get_credential(services)
    except SealBroken:
        text = "The stored credential cannot be decrypted: AUTOS_SECRET_KEY has changed."
        return Found(False, text, f"Restore the key. {_NEW_CREDENTIAL}")
    if not state.is_set:
        return Found(False, "None is set.", _NEW_CREDENTIAL)
    renewed = "is refreshed by itself" if state.refreshable else "cannot be refreshed"
    if state.refused_since is not None:
        text = (
            f"The source refuses it since {state.refused_since:%Y-%m-%d %H:%M} UTC; "
            f"{state.waiting_jobs} jobs wait."
        )
        return Found(False, text, _NEW_CREDENTIAL)
    if state.expires_at is None:
        return Found(True, f"Set, {renewed}; it does not say when it expires.")
    moment = f"{state.expires_at:%Y-%m-%d %H:%M} UTC"
    if state.expires_at <= _now():
        return Found(state.refreshable, f"It expired {moment}, {renewed}.", _NEW_CREDENTIAL)
    return Found(True, f"Set, {renewed}, expires {moment}.")


async def jobs(services: Services) -> Found:
    """What running jobs wait for."""
    async with services.records.transaction() as session:
        found = await waits(session)
    if not found:
        return Found(True, "None waits.")
    lines, advice = [], {}
    for wait in found:
        reason = f" ({wait.reason})" if wait.reason else ""
        since = f" since {wait.since:%Y-%m-%d %H:%M} UTC" if wait.since else ""
        lines.append(f"{wait.jobs} wait for {wait.waiting_for}{reason}{since}")
        advice[wait.waiting_for] = _WAIT_ADVICE[wait.waiting_for]
    paused_only = set(advice) == {WaitReason.OPERATOR}
    return Found(paused_only, f"{'; '.join(lines)}.", " ".join(advice.values()))


async def clock(services: Services) -> Found:
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
            log.info("store_tells_no_time")
    apart = [name for name, skew in skews.items() if abs(skew) > SKEW]
    if apart:
        text = f"The API's clock differs from that of {' and '.join(apart)} by more than {SKEW}."
        return Found(False, text, "Synchronise the clocks (NTP): links and tokens depend on them.")
    return Found(True, f"The API's agrees with that of {' and '.join(skews)}.")


async def disk(services: Services) -> Found:
    """Room for documents under way, on the API's machine; a worker's full disk is a wait."""
    folder = services.settings.data_dir.absolute()
    total, free = await asyncio.to_thread(_usage, folder)
    text = f"{free / 1e9:.1f} GB free at AUTOS_DATA_DIR of the API's machine."
    if free < min(FREE_BYTES, FREE_SHARE * total):
        return Found(False, text, "Make room: a worker there cannot take large documents.")
    return Found(True, text)


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
    "store": "Check AUTOS_S3_ENDPOINT, AUTOS_S3_BUCKET, the keys and their rights, and the room.",
}
