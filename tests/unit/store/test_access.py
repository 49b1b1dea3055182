"""Access keys from boto3's credential chain: found in a thread and renewed in time."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from aiohttp import ClientSession
from botocore.credentials import CredentialProvider, RefreshableCredentials

from autos.settings import Settings
from autos.store import Store, StoreUnavailable, access_keys
from tests.unit.store.conftest import ACCESS_KEY, UNUSED_HTTP, Endpoint


class Role(CredentialProvider):  # type: ignore[misc]  # botocore publishes no types
    """An instance's role with keys valid for `lasts`; no response while `unreachable`."""

    METHOD = CANONICAL_NAME = "role"

    def __init__(self) -> None:
        self.lasts = timedelta(hours=1)
        self.unreachable = False
        self.asked = 0
        self.threads: set[int] = set()
        self.slow = threading.Event()
        self.slow.set()

    def load(self) -> Any:
        return (
            None
            if self.unreachable
            else RefreshableCredentials.create_from_metadata(self._give(), self._give, self.METHOD)
        )

    def _give(self) -> dict[str, str]:
        self.slow.wait(10)
        self.threads.add(threading.get_ident())
        if self.unreachable:
            raise OSError("the metadata service does not answer")
        self.asked += 1
        return {
            "access_key": f"ASIA{self.asked}",
            "secret_key": "temporary",
            "token": f"token-{self.asked}",
            "expiry_time": (datetime.now(UTC) + self.lasts).isoformat(),
        }


@pytest.fixture
def role(monkeypatch: pytest.MonkeyPatch) -> Iterator[Role]:
    """The only provider in boto3's credential chain."""
    role = Role()
    find = "botocore.credentials.CredentialResolver.load_credentials"
    monkeypatch.setattr(find, lambda _resolver: role.load())
    monkeypatch.setattr(access_keys, "_RETRY_SECONDS", 0.0)
    yield role
    role.slow.set()


def store(**changes: object) -> Store:
    given = {"s3_endpoint": "http://s3.internal:9000", "s3_bucket": "autos"} | changes
    return Store(Settings.model_validate(given), UNUSED_HTTP)


def signed_by(link: str) -> tuple[str, str | None]:
    query = parse_qs(urlsplit(link).query)
    token = query.get("X-Amz-Security-Token")
    return query["X-Amz-Credential"][0].partition("/")[0], token[0] if token else None


def link(store: Store, key: str) -> tuple[str, str | None]:
    return signed_by(store.link(key, "a.pdf", "application/pdf"))


async def test_keys_of_a_role_sign_with_their_token(role: Role) -> None:
    """(S37) Without keys in the settings, the instance's keys are used."""
    opened = store()
    assert role.asked == 0
    await opened.open()
    assert link(opened, "k") == ("ASIA1", "token-1")
    assert role.threads.isdisjoint({threading.get_ident()})
    # They are valid for an hour and not looked up again.
    assert [link(opened, f"k{number}")[0] for number in range(3)] == ["ASIA1"] * 3
    assert role.asked == 1


async def test_keys_are_renewed_before_their_expiry_without_a_wait(role: Role) -> None:
    """(S37) In the last quarter of an hour, while the old keys are still used."""
    role.lasts = timedelta(minutes=14)
    opened = store()
    await opened.open()
    first = link(opened, "k0")
    role.slow.clear()
    role.lasts = timedelta(hours=1)
    # The renewal is due, but the metadata service is slow: the old keys are used.
    assert link(opened, "k1") == first
    role.slow.set()
    async with asyncio.timeout(30):
        while link(opened, "k1") == first:
            opened._links._links.clear()
            await asyncio.sleep(0.01)
    asked = role.asked
    assert link(opened, "k2") == (f"ASIA{asked}", f"token-{asked}")
    await asyncio.sleep(0)
    assert role.asked == asked


async def test_cached_keys_are_used_during_an_outage_of_the_chain(role: Role) -> None:
    """(S37) An outage of the metadata service has no effect for a while."""
    role.lasts = timedelta(minutes=12)
    opened = store()
    await opened.open()
    first = link(opened, "k")
    role.unreachable = True
    for number in range(3):
        await opened.open()
        assert link(opened, f"k{number}") == first


async def test_store_without_keys_is_unavailable_until_there_are_some(role: Role) -> None:
    """(S37) The error has advice."""
    role.unreachable = True
    opened = store()
    await opened.open()
    with pytest.raises(StoreUnavailable, match=r"AUTOS_S3_ACCESS_KEY_ID.*role"):
        link(opened, "k")
    with pytest.raises(StoreUnavailable):
        await opened.head("k")
    assert not await opened.reachable()
    role.unreachable = False
    async with asyncio.timeout(30):
        while not role.asked:
            await opened.open()
    assert link(opened, "k")[0] == "ASIA1"


async def test_expired_keys_sign_nothing(role: Role) -> None:
    """(S37) Such a link would be invalid."""
    role.lasts = timedelta(seconds=1)
    opened = store()
    await opened.open()
    role.unreachable = True
    async with asyncio.timeout(30):
        while True:
            try:
                link(opened, f"k{role.asked}")
            except StoreUnavailable:
                break
            opened._links._links.clear()
            await asyncio.sleep(0.05)


async def test_keys_of_the_environment_are_used(
    moto: Endpoint, http: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(S37) With the real chain and a real store, from the AWS_* variables."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-environment")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-token")
    given = moto.settings(
        s3_access_key_id="", s3_secret_access_key="", s3_bucket="autos-environment"
    )
    opened = Store(given, http)
    await opened.ensure_bucket()
    assert await opened.ready()
    await opened.put_json("k", b"{}")
    found = opened.link("k", "a.json", "application/json")
    assert signed_by(found) == (ACCESS_KEY, "a-token")
    async with httpx2.AsyncClient() as browser:
        assert (await browser.get(found)).content == b"{}"
