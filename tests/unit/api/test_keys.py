"""API keys and their cache."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from api.http import auth as keys
from api.http.auth import ApiKeyCache, fingerprint, new_key, prefix
from autos.records.models import ApiKey


class Rows:
    """Stored keys, with a count of look-ups."""

    def __init__(self, *rows: ApiKey) -> None:
        self.rows = {row.sha256: row for row in rows}
        self.lookups = 0

    async def find(self, sha256: str) -> ApiKey | None:
        self.lookups += 1
        return self.rows.get(sha256)


def row(key: str, **members: datetime) -> ApiKey:
    return ApiKey(id=uuid4(), role="client", sha256=fingerprint(key), **members)


def test_keys_are_long_and_unique() -> None:
    made = {new_key() for _ in range(100)}
    assert len(made) == 100
    assert all(key.startswith("autos_") and len(key) == 49 for key in made)


@pytest.mark.parametrize("key", ["", "admin", "twelve chars", pytest.param(new_key(), id="new")])
def test_prefix_reveals_little(key: str) -> None:
    assert len(prefix(key)) <= len(key) / 4
    assert key not in prefix(key) or not key


async def test_valid_key_is_looked_up_once() -> None:
    key = new_key()
    rows = Rows(row(key))
    cache = ApiKeyCache(rows.find)
    callers = [await cache.caller(key) for _ in range(3)]
    assert all(caller is not None and caller == callers[0] for caller in callers)
    assert rows.lookups == 1
    cache.forget()
    await cache.caller(key)
    assert rows.lookups == 2


async def test_cached_key_is_looked_up_again_after_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = new_key()
    rows = Rows(row(key))
    monkeypatch.setattr(keys, "CACHED_SECONDS", -1.0)
    cache = ApiKeyCache(rows.find)
    await cache.caller(key)
    rows.rows.clear()
    assert await cache.caller(key) is None


async def test_wrong_revoked_and_expired_keys_have_no_caller() -> None:
    present = datetime.now(UTC)
    revoked, expired = new_key(), new_key()
    rows = Rows(row(revoked, revoked_at=present), row(expired, expires_at=present))
    cache = ApiKeyCache(rows.find)
    for key in (new_key(), revoked, expired):
        assert await cache.caller(key) is None
        assert await cache.caller(key) is None
    assert rows.lookups == 6


async def test_cached_key_expires_on_time(monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_key()
    cache = ApiKeyCache(Rows(row(key, expires_at=datetime.now(UTC) + timedelta(hours=1))).find)
    assert await cache.caller(key) is not None

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Later":
            return cls.fromtimestamp(datetime.now(UTC).timestamp() + 7200, UTC)

    monkeypatch.setattr(keys, "datetime", Later)
    assert await cache.caller(key) is None
