"""The connections and settings that routes use: records, Temporal, the object store.

Made once per process by the app's lifespan. The routes get it by `ServicesDependency`.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from api.http.auth import ApiKeyCache
from api.status.snapshots import Statuses
from api.temporal_client import TemporalClient
from api.webhooks.redeliveries import Redeliveries
from autos.records.changes import Changes
from autos.records.database import Database
from autos.settings import Settings
from autos.store import Store


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a route may need."""

    settings: Settings
    records: Database
    temporal: TemporalClient
    store: Store
    keys: ApiKeyCache
    statuses: Statuses
    redeliveries: Redeliveries
    changes: Changes


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDependency = Annotated[Services, Depends(_services)]
