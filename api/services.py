"""What the routes work with: settings, records, the job engine, the object store.

Made once per process by the app's lifespan. The routes get it by `ServicesDependency`.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from api.engine import Engine
from api.keys import KeyRing
from api.records import Records
from api.redeliveries import Redeliveries
from api.status import Statuses
from api.store import Objects
from autos.records.changes import Changes
from autos.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a route may need."""

    settings: Settings
    records: Records
    engine: Engine
    store: Objects
    keys: KeyRing
    statuses: Statuses
    redeliveries: Redeliveries
    changes: Changes


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDependency = Annotated[Services, Depends(_services)]
