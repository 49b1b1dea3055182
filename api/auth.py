"""Who is asking.

`signed_in` guards a router: any valid key gets through. `administrators` lets only theirs through.
A route that must know the caller takes `CallerDependency`, which is looked up once a request.
"""

from typing import Annotated

import structlog
from fastapi import Depends
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from api.keys import Caller
from api.problems import FORBIDDEN, UNAUTHORIZED, Problem
from api.services import ServicesDependency

_bearer = HTTPBearer(auto_error=False, description="An API key")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key")


async def _caller(
    services: ServicesDependency,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    header: Annotated[str | None, Depends(_header)],
) -> Caller:
    key = bearer.credentials if bearer else header
    caller = await services.keys.caller(key) if key else None
    if caller is None:
        raise Problem(UNAUTHORIZED, headers={"WWW-Authenticate": 'Bearer realm="autos"'})
    structlog.contextvars.bind_contextvars(api_key_id=str(caller.id))
    return caller


CallerDependency = Annotated[Caller, Depends(_caller)]
signed_in = Depends(_caller)


async def _administrator(caller: CallerDependency) -> None:
    if not caller.is_admin:
        raise Problem(FORBIDDEN)


administrators = Depends(_administrator)
