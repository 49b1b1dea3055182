"""Health for orchestrators and metrics for Prometheus; no key needed, no case number told."""

import asyncio
from contextlib import suppress
from typing import Final, Protocol, cast

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.http.metrics import Metrics
from api.problems import Problem
from api.schemas import Health, PartHealth
from api.services import ServicesDependency
from autos.records.jobs import waits

router = APIRouter(tags=["operation"])

PATIENCE_SECONDS: Final = 5.0


class _Part(Protocol):
    async def ready(self) -> None: ...


@router.get("/health/live", operation_id="health_live", summary="Is the process alive?")
async def live() -> Health:
    """Asks nobody else: restarting this process would not bring a database back."""
    return Health(ok=True)


@router.get(
    "/health/ready",
    operation_id="health_ready",
    summary="Can it serve?",
    response_model=Health,
    responses={503: {"model": Health, "description": "A part cannot be reached"}},
)
async def ready(services: ServicesDependency) -> JSONResponse:
    """Asks records, engine and store, each by itself, for five seconds at most."""
    asked: dict[str, _Part] = {
        "records": services.records,
        "engine": services.temporal,
        "store": services.store,
    }
    found = await asyncio.gather(*(_look(part) for part in asked.values()))
    parts = dict(zip(asked, found, strict=True))
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

    While the records are away the waits are those of the last answer.
    """
    collected = cast(Metrics, request.app.state.metrics)
    with suppress(Problem, TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS), services.records.transaction() as session:
            collected.show_waits(await waits(session))
    return Response(generate_latest(collected.registry), media_type=CONTENT_TYPE_LATEST)


async def _look(part: _Part) -> PartHealth:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await part.ready()
    except Problem as problem:
        return PartHealth(ok=False, detail=problem.detail)
    except TimeoutError:
        return PartHealth(ok=False, detail="No answer in time.")
    return PartHealth(ok=True)
