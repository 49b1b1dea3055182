"""Authentication by API key, and authorisation by the key's role.

A key is `autos_` and 256 random bits, of which only the SHA-256 is kept. `authenticate` runs before
the body of a request is read (`api.http.admission`). A router that depends on `authenticated`
accepts any valid key, one that depends on `require_admin` an administrator's only. A route that
must know the caller takes `CallerDependency`.
"""

import hashlib
import hmac
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

import structlog
from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.datastructures import Headers

from api.problems import FORBIDDEN, UNAUTHORIZED, Problem
from autos.records import api_keys
from autos.records.database import Database
from autos.records.models import ApiKey

ADMIN: Final = "admin"
CACHED_SECONDS: Final = 10.0
"""How long a key revoked by another API process may still be accepted by this one."""

# These two describe the headers in OpenAPI; `authenticate` reads them.
_BEARER: Final = Depends(HTTPBearer(auto_error=False, description="An API key"))
_HEADER: Final = Depends(APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key"))


@dataclass(frozen=True, slots=True)
class Caller:
    """The key behind a request."""

    id: uuid.UUID
    role: str
    expires_at: datetime | None

    @property
    def is_admin(self) -> bool:
        """True for a key that may do everything."""
        return self.role == ADMIN


def new_key() -> str:
    """A new random API key."""
    return f"autos_{secrets.token_urlsafe(32)}"


def fingerprint(key: str) -> str:
    """The hash that is stored of a key; needs no salt, because 256 random bits are not guessed."""
    return hashlib.sha256(key.encode()).hexdigest()


def prefix(key: str) -> str:
    """The first letters, which tell keys apart in a list; at most a quarter of the key."""
    return key[: min(12, len(key) // 4)]


class ApiKeyCache:
    """Callers by their keys, read from the records at most once in `CACHED_SECONDS`."""

    def __init__(self, find: Callable[[str], Awaitable[ApiKey | None]]) -> None:
        self._find = find
        self._cached: dict[str, tuple[Caller, float]] = {}

    async def caller(self, key: str) -> Caller | None:
        """The caller with this key; None if it is unknown, revoked or expired."""
        sha256 = fingerprint(key)
        caller, until = self._cached.get(sha256, (None, 0.0))
        if caller is None or until < time.monotonic():
            caller = await self._look_up(sha256)
        if caller is None or (caller.expires_at and caller.expires_at <= datetime.now(UTC)):
            self._cached.pop(sha256, None)
            return None
        return caller

    def forget(self) -> None:
        """Drop all cached keys after a revocation."""
        self._cached.clear()

    async def _look_up(self, sha256: str) -> Caller | None:
        row = await self._find(sha256)
        if row is None or not row.is_active or not hmac.compare_digest(row.sha256, sha256):
            return None
        caller = Caller(row.id, row.role, row.expires_at)
        # Only valid keys are kept, so that wrong ones cannot fill the memory.
        self._cached[sha256] = (caller, time.monotonic() + CACHED_SECONDS)
        return caller


async def find_key(database: Database, sha256: str) -> ApiKey | None:
    """The row of the key with this hash."""
    async with database.transaction() as session:
        return await api_keys.by_hash(session, sha256)


async def authenticate(keys: ApiKeyCache, headers: Headers) -> Caller:
    """The caller whose key the headers carry.

    Raises:
        Problem: there is no key, or none that is in force.
    """
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    bearer = credentials.strip() if scheme.lower() == "bearer" else ""
    key = bearer or headers.get("x-api-key")
    caller = await keys.caller(key) if key else None
    if caller is None:
        raise Problem(UNAUTHORIZED, headers={"WWW-Authenticate": 'Bearer realm="autos"'})
    structlog.contextvars.bind_contextvars(api_key_id=str(caller.id))
    return caller


async def _caller(
    request: Request, _bearer: Annotated[object, _BEARER], _header: Annotated[object, _HEADER]
) -> Caller:
    caller: Caller = request.scope["caller"]
    return caller


CallerDependency = Annotated[Caller, Depends(_caller)]
authenticated = Depends(_caller)


async def _administrator(caller: CallerDependency) -> None:
    if not caller.is_admin:
        raise Problem(FORBIDDEN)


require_admin = Depends(_administrator)
