"""The FastAPI application: its routes, and the connections it opens and closes.

It starts while Temporal, the database or the store is unavailable; `/health/ready` reports that.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Final, TypeAlias

import structlog
from fastapi import FastAPI

from api import health, problems
from api.api_keys import routes as api_keys
from api.credentials import routes as credentials
from api.diagnosis import routes as diagnosis
from api.documents import routes as documents
from api.downloads import routes as downloads
from api.http import auth, errors
from api.http.admission import Admission
from api.http.metrics import Metrics
from api.http.middleware import RequestMiddleware
from api.http.parameters import PREFIX
from api.jobs import routes as jobs
from api.processes import movements
from api.processes import routes as processes
from api.reconciliations import routes as reconciliations
from api.services import Services
from api.status import routes as status
from api.status.snapshots import Statuses
from api.temporal_client import TemporalClient, connect
from api.webhooks import openapi as webhook_docs
from api.webhooks import routes as webhooks
from api.webhooks.redeliveries import Redeliveries
from autos.records import api_keys as key_rows
from autos.records.changes import Changes
from autos.records.database import Database, is_outage
from autos.settings import Settings
from autos.source import open_http
from autos.store import Store

log = structlog.get_logger(__name__)

ADMIN_RETRY_SECONDS: Final = 1.0
OpenServices: TypeAlias = Callable[[Settings], AbstractAsyncContextManager[Services]]


def assemble(
    settings: Settings, database: Database, temporal: TemporalClient, store: Store
) -> Services:
    """The services on the given connections."""
    changes = Changes(database)
    return Services(
        settings=settings,
        records=database,
        temporal=temporal,
        store=store,
        keys=auth.ApiKeyCache(partial(auth.find_key, database)),
        statuses=Statuses(database, temporal, store, changes, settings.link_ttl),
        changes=changes,
        redeliveries=Redeliveries(),
    )


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Database, Temporal and store, by the settings."""
    database = Database.open(settings)
    temporal = TemporalClient(await connect())
    async with open_http(settings) as http:
        store = Store(settings, http)
        try:
            await store.open()
            yield assemble(settings, database, temporal, store)
        finally:
            await database.close()


def create_app(settings: Settings, opened: OpenServices = open_services) -> FastAPI:
    """Create the application. `opened` opens its services; tests replace it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with opened(settings) as services, services.changes.following():
            app.state.services = services
            recorded = await _ensure_admin_key(services)
            waiting = None if recorded else asyncio.create_task(_keep_trying(services))
            log.info("api_started")
            yield
            if waiting is not None:
                waiting.cancel()
        log.info("api_stopped")

    app = FastAPI(
        title="Autos",
        version="1",
        summary="Every document of a Brazilian court case in your S3 bucket",
        description="Errors are problem details (RFC 9457): decide by `type`.",
        lifespan=lifespan,
        redoc_url=None,
        # Such a redirect would use the host and scheme of the request's headers.
        redirect_slashes=False,
        responses=problems.responses(*problems.OF_EVERY_ROUTE),
    )
    app.state.metrics = Metrics()
    app.state.store_probe = health.StoreProbe()
    errors.install(app)
    for noun in (
        processes,
        downloads,
        status,
        documents,
        movements,
        jobs,
        api_keys,
        credentials,
        webhooks,
        reconciliations,
        diagnosis,
    ):
        app.include_router(noun.router, prefix=PREFIX)
    app.include_router(health.router)
    webhook_docs.describe(app.webhooks)
    app.add_middleware(Admission, longest=settings.api_max_body_bytes)
    app.add_middleware(RequestMiddleware, metrics=app.state.metrics)
    return app


async def _ensure_admin_key(services: Services) -> bool:
    """Record the bootstrap key, if there is one; False if the database is unavailable."""
    key = services.settings.admin_key.get_secret_value()
    if not key:
        return True
    try:
        async with services.records.transaction() as session:
            await key_rows.ensure_admin(
                session, prefix=auth.prefix(key), sha256=auth.fingerprint(key)
            )
    except Exception as error:
        if not is_outage(error):
            raise
        return False
    return True


async def _keep_trying(services: Services) -> None:
    log.warning("admin_key_pending")
    while not await _ensure_admin_key(services):  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(ADMIN_RETRY_SECONDS)
    log.info("admin_key_recorded")
