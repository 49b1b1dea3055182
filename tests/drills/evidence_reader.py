"""Collects the evidence of a case from every part, bypassing the service where possible.

Rows are read from PostgreSQL, files from the store's own folder, workflows from Temporal, requests
and webhooks from the sandbox. All parts must be up.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final, Self
from urllib.parse import quote

import httpx2
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import NullPool

from autos.contracts.temporal_names import delivery_workflow_id, job_workflow_id
from autos.records.database import Server
from autos.records.permits import LOCK_SPACE as PERMIT_SPACE
from autos.settings import Settings
from autos.source import open_http
from autos.store import ObjectMissing, Store
from autos.store.object_keys import manifest_key, process_prefix
from cli.stack import Stack
from cli.stack.environment import BUCKET
from tests.drills.client import Caller
from tests.drills.evidence import Evidence, KnownDocument, Row, with_requests
from tests.drills.invariants import Finding, Kind
from tests.e2e.clients import Sandbox

SETTLING_SECONDS: Final = 75.0
"""Time for deliveries and their retries after a job's end."""
PERMIT_SECONDS: Final = 15.0
"""Workers release permits that were not needed for a second."""
_PAUSE: Final = 0.1

_JOBS: Final = "SELECT * FROM jobs WHERE process_number = :number ORDER BY created_at"
_ROWS: Final = "SELECT * FROM documents WHERE process_number = :number ORDER BY position"
_SUBSCRIPTIONS: Final = "SELECT * FROM subscriptions WHERE process_number = :number"
_DELIVERIES: Final = (
    "SELECT deliveries.* FROM deliveries JOIN subscriptions ON subscriptions.id = subscription_id "
    "WHERE process_number = :number"
)
_ATTEMPTS: Final = (
    "SELECT attempts.* FROM attempts JOIN deliveries ON deliveries.id = delivery_id "
    "JOIN subscriptions ON subscriptions.id = subscription_id WHERE process_number = :number"
)
_PERMITS: Final = (
    "SELECT count(*) AS held FROM pg_locks WHERE locktype = 'advisory' AND granted "
    "AND classid = CAST(:space AS int) AND database = "
    "(SELECT oid FROM pg_database WHERE datname = current_database())"
)
_OPEN_KEYS: Final = "SELECT 1 FROM idempotency_keys WHERE status_code IS NULL"


@dataclass(frozen=True, slots=True)
class Played:
    """What the player of a round knows about a case."""

    number: str
    truth: Row
    jobs_promised: Sequence[str]
    receivers: Sequence[str]
    """Names of the receivers whose subscriptions were accepted."""
    cancelled: bool
    kills: Mapping[str, int]
    harms: Mapping[str, int]
    revocations: int
    outages: int
    complaints: Sequence[str]


class EvidenceReader:
    """Reads evidence from the parts of one stack."""

    def __init__(
        self, stack: Stack, sandbox: Sandbox, engine: AsyncEngine, settings: Settings
    ) -> None:
        self._stack = stack
        self._sandbox = sandbox
        self._engine = engine
        self._settings = settings

    @classmethod
    def of(cls, stack: Stack, http: httpx2.AsyncClient) -> Self:
        """A reader of a running stack; `http` is shared and not closed."""
        given = stack.settings_environment()
        settings = Settings(
            s3_endpoint=given["AUTOS_S3_ENDPOINT"],
            s3_bucket=given["AUTOS_S3_BUCKET"],
            s3_access_key_id=given["AUTOS_S3_ACCESS_KEY_ID"],
            s3_secret_access_key=SecretStr(given["AUTOS_S3_SECRET_ACCESS_KEY"]),
            s3_region=given["AUTOS_S3_REGION"],
        )
        # Pooled connections would not survive kills.
        engine = Server.at(given["AUTOS_DATABASE_URL"]).engine(poolclass=NullPool)
        sandbox = Sandbox(http, given["AUTOS_PDPJ_BASE_URL"])
        return cls(stack, sandbox, engine, settings)

    async def settled(self, number: str) -> None:
        """Wait until the case's workflows and deliveries have ended, in bounded time."""
        end = monotonic() + SETTLING_SECONDS
        while monotonic() < end:
            deliveries = await self._rows(_DELIVERIES, number)
            waiting = any(row["status"] == "pending" for row in deliveries)
            if not waiting and not await self.running(number):
                return
            await asyncio.sleep(_PAUSE)

    async def permits_left(self) -> list[Finding]:
        """A finding if the server counts held permits although no request is in flight."""
        end = monotonic() + PERMIT_SECONDS
        while True:
            async with self._engine.connect() as connection:
                held = await connection.scalar(text(_PERMITS), {"space": PERMIT_SPACE})
            if not held:
                return []
            if monotonic() > end:
                return [Finding(Kind.STUCK, f"{held} permits are held and used by no request")]
            await asyncio.sleep(_PAUSE)

    async def evidence(self, played: Played, caller: Caller) -> Evidence:
        """Collect all evidence of the case."""
        number = played.number
        log: list[dict[str, Any]] = await self._sandbox.control("GET", "/requests")
        status = await caller.status(number)
        return Evidence(
            number=number,
            documents=with_requests([_known(entry) for entry in played.truth["documents"]], log),
            jobs_promised=played.jobs_promised,
            cancelled=played.cancelled,
            kills=played.kills,
            harms=played.harms,
            revocations=played.revocations,
            outages=played.outages,
            status=status,
            links={
                row["uuid"]: await self._open(caller, row["download_url"])
                for row in status["documents"]
                if row["status"] == "available"
            },
            listings=sum(
                (request["process"], request["document"], request["faults"], request["status"])
                == (number, None, [], 200)
                for request in log
            ),
            jobs=await self._rows(_JOBS, number),
            rows=await self._rows(_ROWS, number),
            subscriptions=await self._rows(_SUBSCRIPTIONS, number),
            deliveries=await self._rows(_DELIVERIES, number),
            attempts=await self._rows(_ATTEMPTS, number),
            open_keys=len(await self._rows(_OPEN_KEYS)),
            keys=await self._keys(number),
            files=await asyncio.to_thread(self._files, number),
            manifest=await self._manifest(number),
            spooled=await asyncio.to_thread(self._spooled),
            running=await self.running(number),
            received={
                f"{self._sandbox.url}/receiver/{name}": (
                    await self._sandbox.control("GET", f"/receiver/{name}")
                )["requests"]
                for name in played.receivers
            },
            complaints=played.complaints,
        )

    async def running(self, number: str) -> list[str]:
        """The case's running workflows with their pending activities."""
        deliveries = await self._rows(_DELIVERIES, number)
        ids = [job_workflow_id(number), *(delivery_workflow_id(row["id"]) for row in deliveries)]
        return [line for line in [await self._describe(id_) for id_ in ids] if line]

    async def _describe(self, workflow_id: str) -> str:
        namespace = f"{self._stack.addresses['temporal-ui']}/api/v1/namespaces/default"
        reply = await self._sandbox.http.get(f"{namespace}/workflows/{quote(workflow_id, safe='')}")
        found = reply.json()
        status = found.get("workflowExecutionInfo", {}).get("status", "")
        if status != "WORKFLOW_EXECUTION_STATUS_RUNNING":
            return ""
        pending = [
            f"{activity['activityType']['name']} attempt {activity.get('attempt', 1)}"
            f" {activity['state']}"
            for activity in found.get("pendingActivities", ())
        ]
        return f"{workflow_id} ({', '.join(pending) or 'no activity'})"

    async def _rows(self, query: str, number: str | None = None) -> list[dict[str, Any]]:
        async with self._engine.connect() as connection:
            parameters = {} if number is None else {"number": number}
            found = await connection.execute(text(query), parameters)
            return [dict(row) for row in found.mappings()]

    async def _keys(self, number: str) -> frozenset[str]:
        async with self._store() as store:
            return frozenset([key async for key in store.list_keys(process_prefix(number))])

    async def _manifest(self, number: str) -> dict[str, Any]:
        try:
            async with self._store() as store:
                manifest: dict[str, Any] = json.loads(await store.get(manifest_key(number)))
        except ObjectMissing:
            return {}
        return manifest

    @asynccontextmanager
    async def _store(self) -> AsyncIterator[Store]:
        async with open_http(self._settings) as http:
            yield Store(self._settings, http)

    async def _open(self, caller: Caller, url: str | None) -> str:
        if url is None:
            return "no link"
        try:
            return await caller.api.sha256(url)
        except (AssertionError, httpx2.TransportError) as error:
            return type(error).__name__

    def _files(self, number: str) -> dict[str, str]:
        bucket = self._stack.data_dir / "objects" / BUCKET
        return {
            str(path.relative_to(bucket)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (bucket / process_prefix(number)).rglob("*")
            if path.is_file()
        }

    def _spooled(self) -> list[str]:
        spool: Path = self._stack.data_dir / "spool"
        return sorted(path.name for path in spool.iterdir())


def _known(entry: Mapping[str, Any]) -> KnownDocument:
    return KnownDocument(entry["uuid"], tuple(entry["uuids"]), entry["sha256"], entry["size"])
