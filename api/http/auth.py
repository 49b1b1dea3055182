"""Who is asking.

`authenticate` runs before the body of a request is read (`api.http.admission`). A router that
depends on `authenticated` accepts any valid key, one that depends on `require_admin` an
administrator's only. A route that must know the caller takes `CallerDependency`.
"""

from typing import Annotated, Final

import structlog
from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.datastructures import Headers

from api.http.api_keys import Caller
from api.problems import FORBIDDEN, UNAUTHORIZED, Problem
from api.services import Services

# These two describe the headers in OpenAPI; `authenticate` reads them.
_SCHEMES: Final = (
    Depends(HTTPBearer(auto_error=False, description="An API key")),
    Depends(APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key")),
)


async def authenticate(services: Services, headers: Headers) -> Caller:
    """The caller whose key the headers carry.

    Raises:
        Problem: there is no key, or none that is in force; or the records cannot be reached.
    """
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    bearer = credentials.strip() if scheme.lower() == "bearer" else ""
    key = bearer or headers.get("x-api-key")
    caller = await services.keys.caller(key) if key else None
    if caller is None:
        raise Problem(UNAUTHORIZED, headers={"WWW-Authenticate": 'Bearer realm="autos"'})
    structlog.contextvars.bind_contextvars(api_key_id=str(caller.id))
    return caller


async def _caller(
    request: Request,
    _bearer: Annotated[object, _SCHEMES[0]],
    _header: Annotated[object, _SCHEMES[1]],
) -> Caller:
    caller: Caller = request.scope["caller"]
    return caller


CallerDependency = Annotated[Caller, Depends(_caller)]
authenticated = Depends(_caller)


async def _administrator(caller: CallerDependency) -> None:
    if not caller.is_admin:
        raise Problem(FORBIDDEN)


require_admin = Depends(_administrator)
