"""Token refresh: one at a time, stored before use, never repeated after a refusal."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest

from autos.settings import Settings
from autos.source import Credential, open_http
from autos.source.credentials.provider import (
    CLAIM_TIME,
    CredentialRefused,
    Credentials,
)
from tests.unit.source.clients import StaticCredentialStore
from tests.unit.source.server import Request, reply, running

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def token(name: str, minutes: float) -> str:
    """A JWT that expires in this many minutes of the fake clock."""
    claims = {"jti": name, "exp": int((NOW + timedelta(minutes=minutes)).timestamp())}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"header.{payload}.signature"


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> datetime:
        return self.at

    def move(self, **by: float) -> None:
        self.at += timedelta(**by)


class TokenEndpoint:
    """Rotates refresh tokens r1 -> r2 -> …; an old one is an `invalid_grant`."""

    def __init__(self) -> None:
        self.current = 1
        self.requests = 0
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.requests += 1
        await self.gate.wait()
        if self.down:
            writer.transport.abort()
            return
        assert request.method == "POST"
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        form = parse_qs(request.body.decode())
        assert form["grant_type"] == ["refresh_token"]
        assert form["client_id"] == ["portalexterno-frontend"]
        if form["refresh_token"] != [f"r{self.current}"]:
            writer.write(reply(400, b'{"error": "invalid_grant"}'))
            return
        self.current += 1
        answer = {
            "access_token": token(f"a{self.current}", 480),
            "refresh_token": f"r{self.current}",
        }
        writer.write(reply(200, json.dumps(answer).encode()))


@asynccontextmanager
async def credentials(
    store: StaticCredentialStore, endpoint: TokenEndpoint, clock: Clock
) -> AsyncIterator[Credentials]:
    async with running(endpoint) as server:
        settings = Settings(pdpj_token_url=f"{server.origin}/token")
        async with open_http(settings) as http:
            yield Credentials(store, http, settings, clock)


async def test_fresh_token_is_used_without_a_refresh() -> None:
    endpoint = TokenEndpoint()
    store = StaticCredentialStore(Credential(token("a1", 60), "r1"))
    async with credentials(store, endpoint, Clock()) as held:
        assert await held.token() == token("a1", 60)
    assert endpoint.requests == 0


async def test_opaque_token_is_allowed() -> None:
    store = StaticCredentialStore(Credential("opaque"))
    async with credentials(store, TokenEndpoint(), Clock()) as held:
        assert await held.token() == "opaque"


async def test_token_is_refreshed_before_its_expiry_and_once() -> None:
    endpoint = TokenEndpoint()
    store = StaticCredentialStore(Credential(token("a1", 4), "r1"))
    async with credentials(store, endpoint, Clock()) as held:
        tokens = await asyncio.gather(*(held.token() for _ in range(20)))
    assert set(tokens) == {token("a2", 480)}
    assert endpoint.requests == 1
    assert await store.load() == Credential(token("a2", 480), "r2")


async def test_expiry_of_a_cached_token_is_noticed() -> None:
    endpoint = TokenEndpoint()
    clock = Clock()
    store = StaticCredentialStore(Credential(token("a1", 60), "r1"))
    async with credentials(store, endpoint, clock) as held:
        await held.token()
        clock.move(minutes=56)
        assert await held.token() == token("a2", 480)


async def test_refusal_refreshes_once_and_returns_the_new_token() -> None:
    endpoint = TokenEndpoint()
    store = StaticCredentialStore(Credential(token("a1", 60), "r1"))
    async with credentials(store, endpoint, Clock()) as held:
        first = await held.token()
        answers = await asyncio.gather(*(held.refused(first) for _ in range(5)))
        assert answers == [True] * 5
        assert await held.token() == token("a2", 480)
    assert endpoint.requests == 1


async def test_invalid_grant_is_never_repeated() -> None:
    endpoint = TokenEndpoint()
    endpoint.current = 9
    clock = Clock()
    store = StaticCredentialStore(Credential(token("a1", -1), "r1"))
    async with credentials(store, endpoint, clock) as held:
        for _ in range(5):
            with pytest.raises(CredentialRefused):
                await held.token()
            clock.move(hours=1)
    assert endpoint.requests == 1
    assert await store.load() == Credential(token("a1", -1))


async def test_outage_of_the_token_endpoint_keeps_the_refresh_token() -> None:
    endpoint = TokenEndpoint()
    endpoint.down = True
    clock = Clock()
    old = Credential(token("a1", -1), "r1")
    store = StaticCredentialStore(old)
    async with credentials(store, endpoint, clock) as held:
        for _ in range(5):
            with pytest.raises(CredentialRefused):
                await held.token()
        assert endpoint.requests == 1
        assert await store.load() == old
        endpoint.down = False
        clock.move(minutes=1)
        assert await held.token() == token("a2", 480)


async def test_credential_set_by_an_operator_is_used_after_a_refusal() -> None:
    old, new = Credential("old"), Credential("new")
    store = StaticCredentialStore(old)
    async with credentials(store, TokenEndpoint(), Clock()) as held:
        assert not await held.refused(await held.token())
        assert held.is_refused(await held.token())
        assert await store.replace(old, new)
        assert await held.token() == "new"
        assert not held.is_refused("new")


async def test_two_processes_refresh_once() -> None:
    endpoint = TokenEndpoint()
    clock = Clock()
    store = StaticCredentialStore(Credential(token("a1", 4), "r1"))
    endpoint.gate.clear()
    async with (
        credentials(store, endpoint, clock) as one,
        credentials(store, endpoint, clock) as two,
    ):
        first = asyncio.create_task(one.token())
        while not endpoint.requests:
            await asyncio.sleep(0)
        # The other process sees the claim and continues with the valid token.
        assert await two.token() == token("a1", 4)
        endpoint.gate.set()
        assert await first == token("a2", 480)
    assert endpoint.requests == 1


async def test_claim_of_a_dead_process_expires() -> None:
    clock = Clock()
    dead = Credential(token("a1", 4), "r1", claimed_until=NOW + CLAIM_TIME)
    async with credentials(StaticCredentialStore(dead), TokenEndpoint(), clock) as held:
        assert await held.token() == token("a1", 4)
        clock.move(seconds=CLAIM_TIME.total_seconds() + 1)
        assert await held.token() == token("a2", 480)


async def test_rotated_token_is_stored_although_the_caller_is_cancelled() -> None:
    endpoint = TokenEndpoint()
    endpoint.gate.clear()
    store = StaticCredentialStore(Credential(token("a1", -1), "r1"))
    async with credentials(store, endpoint, Clock()) as held:
        caller = asyncio.create_task(held.token())
        while not endpoint.requests:
            await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        endpoint.gate.set()
        async with asyncio.timeout(30):
            assert await held.token() == token("a2", 480)
    assert endpoint.requests == 1


async def test_missing_credential_returns_no_token() -> None:
    async with credentials(StaticCredentialStore(None), TokenEndpoint(), Clock()) as held:
        with pytest.raises(CredentialRefused):
            await held.token()


def test_repr_shows_no_secret() -> None:
    shown = repr(replace(Credential("access", "refresh"), claimed_until=NOW))
    assert "access" not in shown.replace("access_token", "")
    assert "refresh" not in shown.replace("refresh_token", "")


@pytest.mark.parametrize(
    "text", ["", "a.b.c", "a", "a.e30.c", "a.bnVsbA.c", "a.eyJleHAiOiAieCJ9.c", "a.é.c"]
)
def test_unreadable_expiry_is_ignored(text: str) -> None:
    assert Credential(text).expires_at is None


def test_credential_is_read_from_the_settings() -> None:
    settings = Settings.model_validate({"pdpj_token": " t ", "pdpj_refresh_token": ""})
    assert Credential.of(settings) == Credential("t")
    assert Credential.of(Settings()) is None
