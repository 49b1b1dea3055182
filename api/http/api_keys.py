"""API keys: `autos_` and 256 random bits, of which only the SHA-256 is kept (F36).

A key that was found valid is believed for ten seconds, so that pollers cost no query each; a key
that is revoked in this process is refused at once, in another one ten seconds later at most.
"""

import hashlib
import hmac
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from autos.records.models import ApiKey

ADMIN: Final = "admin"
BELIEVED_SECONDS: Final = 10.0


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
    """A key nobody can guess."""
    return f"autos_{secrets.token_urlsafe(32)}"


def fingerprint(key: str) -> str:
    """What is kept of a key. A plain hash is enough: 256 random bits cannot be tried out."""
    return hashlib.sha256(key.encode()).hexdigest()


def prefix(key: str) -> str:
    """The letters that tell keys apart in a list; never more than a quarter of the key."""
    return key[: min(12, len(key) // 4)]


class ApiKeyCache:
    """Knows the callers of the last seconds; asks the records for the others."""

    def __init__(self, find: Callable[[str], Awaitable[ApiKey | None]]) -> None:
        self._find = find
        self._believed: dict[str, tuple[Caller, float]] = {}

    async def caller(self, key: str) -> Caller | None:
        """Whose key this is; None for one that is unknown, revoked or expired."""
        sha256 = fingerprint(key)
        caller, until = self._believed.get(sha256, (None, 0.0))
        if caller is None or until < time.monotonic():
            caller = await self._look_up(sha256)
        if caller is None or (caller.expires_at and caller.expires_at <= datetime.now(UTC)):
            self._believed.pop(sha256, None)
            return None
        return caller

    def forget(self) -> None:
        """Believe nobody any longer; a key was revoked."""
        self._believed.clear()

    async def _look_up(self, sha256: str) -> Caller | None:
        row = await self._find(sha256)
        if row is None or not row.is_active or not hmac.compare_digest(row.sha256, sha256):
            return None
        caller = Caller(row.id, row.role, row.expires_at)
        # Only valid keys are kept, so nobody can fill the memory with wrong ones.
        self._believed[sha256] = (caller, time.monotonic() + BELIEVED_SECONDS)
        return caller
