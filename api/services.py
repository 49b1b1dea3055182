"""What the routes work with: settings, records, the job engine, the object store.

Made once per process by the app's lifespan. The routes get it by `ServicesDependency`.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from api.http.api_keys import ApiKeyCache
from api.object_store import ObjectStore
from api.records import Records
from api.status.snapshots import Statuses
from api.temporal_client import TemporalClient
from api.webhooks.redeliveries import Redeliveries
from autos.records.changes import Changes
from autos.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a route may need."""

    settings: Settings
    records: Records
    temporal: TemporalClient
    store: ObjectStore
    keys: ApiKeyCache
    statuses: Statuses
    redeliveries: Redeliveries
    changes: Changes


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDependency = Annotated[Services, Depends(_services)]
