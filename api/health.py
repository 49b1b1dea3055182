"""Health checks for orchestrators and metrics for Prometheus, without an API key."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Final, cast

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.diagnosis.schemas import Health, PartHealth
from api.http.errors import as_problem
from api.http.metrics import Metrics
from api.problems import STORE_UNAVAILABLE, unavailable
from api.services import ServicesDependency
from autos.records.jobs import waits
from autos.store import Store

router = APIRouter(tags=["operation"])

PATIENCE_SECONDS: Final = 5.0
PROBED_FOR_SECONDS: Final = 60.0
"""How long a successful write counts as proof that the bucket accepts objects."""


class StoreProbe:
    """Checks whether the store accepts objects; writes at most once in `PROBED_FOR_SECONDS`."""

    def __init__(self) -> None:
        self._good_until = 0.0

    async def check(self, store: Store) -> None:
        """Check that the bucket exists, and once a minute that it accepts a tiny object.

        Raises:
            Problem: it cannot be reached, or accepts no objects.
        """
        if not await store.reachable():
            raise unavailable(STORE_UNAVAILABLE)
        if time.monotonic() < self._good_until:
            return
        if not await store.ready():
            raise unavailable(
                STORE_UNAVAILABLE,
                "The bucket exists, but accepts no objects: check its quota, its free space and "
                "the rights of the access keys.",
            )
        self._good_until = time.monotonic() + PROBED_FOR_SECONDS


@router.get("/health/live", operation_id="health_live", summary="Is the process alive?")
async def live() -> Health:
    """Checks no other part: restarting this process would not repair them."""
    return Health(ok=True)


@router.get(
    "/health/ready",
    operation_id="health_ready",
    summary="Can the API serve requests?",
    response_model=Health,
    responses={503: {"model": Health, "description": "A part cannot be reached"}},
)
async def ready(request: Request, services: ServicesDependency) -> JSONResponse:
    """Checks records, engine and store concurrently, for five seconds at most."""
    probe = cast(StoreProbe, request.app.state.store_probe)
    checks: dict[str, Awaitable[None]] = {
        "records": services.records.ready(),
        "engine": services.temporal.ready(),
        "store": probe.check(services.store),
    }
    found = await asyncio.gather(*(_check(part) for part in checks.values()))
    parts = dict(zip(checks, found, strict=True))
    health = Health(ok=all(part.ok for part in found), parts=parts)
    return JSONResponse(health.model_dump(exclude_none=True), 200 if health.ok else 503)


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Prometheus metrics",
    response_class=PlainTextResponse,
)
async def metrics(request: Request, services: ServicesDependency) -> Response:
    """Requests and their durations by route, and what running jobs wait for.

    While the records are unavailable, the waits are those of the last request.
    """
    collected = cast(Metrics, request.app.state.metrics)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), services.records.transaction() as session:
            collected.show_waits(await waits(session))
    except Exception as error:
        if not isinstance(error, TimeoutError) and as_problem(error) is None:
            raise
    return Response(generate_latest(collected.registry), media_type=CONTENT_TYPE_LATEST)


async def _check(part: Awaitable[None]) -> PartHealth:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await part
    except TimeoutError:
        return PartHealth(ok=False, detail="No answer in time.")
    except Exception as error:
        problem = as_problem(error)
        if problem is None:
            raise
        return PartHealth(ok=False, detail=problem.detail)
    return PartHealth(ok=True)
