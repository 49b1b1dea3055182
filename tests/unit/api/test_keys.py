"""Keys, and how long one is believed."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from api.http import api_keys as keys
from api.http.api_keys import ApiKeyCache, fingerprint, new_key, prefix
from autos.records.models import ApiKey


class Rows:
    """The keys on record, and how often they were asked for."""

    def __init__(self, *rows: ApiKey) -> None:
        self.rows = {row.sha256: row for row in rows}
        self.asked = 0

    async def find(self, sha256: str) -> ApiKey | None:
        self.asked += 1
        return self.rows.get(sha256)


def row(key: str, **members: datetime) -> ApiKey:
    return ApiKey(id=uuid4(), role="client", sha256=fingerprint(key), **members)


def test_keys_are_long_and_never_alike() -> None:
    made = {new_key() for _ in range(100)}
    assert len(made) == 100
    assert all(key.startswith("autos_") and len(key) == 49 for key in made)


@pytest.mark.parametrize("key", ["", "admin", "twelve chars", pytest.param(new_key(), id="new")])
def test_a_prefix_gives_little_away(key: str) -> None:
    assert len(prefix(key)) <= len(key) / 4
    assert key not in prefix(key) or not key


async def test_a_valid_key_is_looked_up_once() -> None:
    key = new_key()
    rows = Rows(row(key))
    ring = ApiKeyCache(rows.find)
    callers = [await ring.caller(key) for _ in range(3)]
    assert all(caller is not None and caller == callers[0] for caller in callers)
    assert rows.asked == 1
    ring.forget()
    await ring.caller(key)
    assert rows.asked == 2


async def test_belief_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_key()
    rows = Rows(row(key))
    monkeypatch.setattr(keys, "BELIEVED_SECONDS", -1.0)
    ring = ApiKeyCache(rows.find)
    await ring.caller(key)
    rows.rows.clear()
    assert await ring.caller(key) is None


async def test_wrong_revoked_and_expired_keys_are_nobodys() -> None:
    present = datetime.now(UTC)
    revoked, expired = new_key(), new_key()
    rows = Rows(row(revoked, revoked_at=present), row(expired, expires_at=present))
    ring = ApiKeyCache(rows.find)
    for key in (new_key(), revoked, expired):
        assert await ring.caller(key) is None
        assert await ring.caller(key) is None
    assert rows.asked == 6


async def test_a_believed_key_expires_on_time(monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_key()
    ring = ApiKeyCache(Rows(row(key, expires_at=datetime.now(UTC) + timedelta(hours=1))).find)
    assert await ring.caller(key) is not None

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Later":
            return cls.fromtimestamp(datetime.now(UTC).timestamp() + 7200, UTC)

    monkeypatch.setattr(keys, "datetime", Later)
    assert await ring.caller(key) is None
