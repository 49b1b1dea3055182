"""Tokens, refusals and the firewall."""

import base64
import json
from typing import Any

import httpx2
import pytest

from tests.unit.sandbox.driver import Sandbox

TOKEN_PATH = "/auth/realms/pje/protocol/openid-connect/token"
BROWSER = {"User-Agent": "Mozilla/5.0", "Referer": "https://portal.exemplo.invalid/consulta"}


async def refresh(sandbox: Sandbox, refresh_token: str) -> httpx2.Response:
    form = {
        "grant_type": "refresh_token",
        "client_id": "portalexterno-frontend",
        "refresh_token": refresh_token,
    }
    return await sandbox.http.post(TOKEN_PATH, data=form)


def claims(token: str) -> dict[str, Any]:
    _, middle, _ = token.split(".")
    decoded = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    assert isinstance(decoded, dict)
    return decoded


async def works(sandbox: Sandbox, token: str | None) -> bool:
    reply = await sandbox.binary(token=token)
    assert reply.status_code in (200, 401)
    return reply.status_code == 200


async def test_wrong_token(sandbox: Sandbox) -> None:
    issued = (await sandbox.control("tokens", {}))["access_token"]
    for token in (None, "garbled", issued[:-2]):
        reply = await sandbox.binary(token=token)
        assert reply.status_code == 401
        assert reply.content == b""
        assert "content-type" not in reply.headers
    await sandbox.control("switches", {"unauthorized": "json"})
    reply = await sandbox.binary(token="garbled")
    assert reply.json() == {"status": 401, "error": "Unauthorized", "message": ""}
    assert await works(sandbox, issued)


async def test_case_closed_to_the_user(sandbox: Sandbox) -> None:
    case = await sandbox.case("secret")
    for path in (f"/api/v2/processos/{case['masked']}", await sandbox.path("secret")):
        reply = await sandbox.get(path)
        assert reply.status_code == 401
        assert "não possui acesso ao processo" in reply.json()["message"]
    found = await sandbox.get("/api/v2/processos", params={"numeroProcesso": case["number"]})
    assert found.status_code == 403
    assert "não possui acesso ao processo" in found.json()["message"]


async def test_refresh_rotates(sandbox: Sandbox) -> None:
    issued = await sandbox.control("tokens", {})
    assert issued["expires_in"] == 28_800
    assert 1_500 < len(issued["access_token"]) < 2_500
    header = issued["access_token"].partition(".")[0]
    assert json.loads(base64.urlsafe_b64decode(header + "==="))["alg"] == "RS256"
    reply = await refresh(sandbox, issued["refresh_token"])
    fresh = reply.json()
    assert fresh["token_type"] == "Bearer"
    assert await works(sandbox, fresh["access_token"])
    again = await refresh(sandbox, issued["refresh_token"])
    assert again.status_code == 400
    assert again.json()["error"] == "invalid_grant"
    assert (await refresh(sandbox, fresh["refresh_token"])).status_code == 200


async def test_failing_token_endpoint(sandbox: Sandbox) -> None:
    issued = await sandbox.control("tokens", {})
    first = {"mode": "first", "count": 1}
    await sandbox.fault("unavailable_503_json", route="token", when=first)
    assert (await refresh(sandbox, issued["refresh_token"])).status_code == 503
    assert (await sandbox.binary()).status_code == 200
    await sandbox.fault("connection_reset", route="token", when=first)
    with pytest.raises(httpx2.ReadError):
        await refresh(sandbox, issued["refresh_token"])
    # The response was lost, and with it the session.
    assert (await refresh(sandbox, issued["refresh_token"])).status_code == 400


async def test_session_ends_after_twelve_hours(sandbox: Sandbox) -> None:
    issued = await sandbox.control("tokens", {})
    login = claims(issued["access_token"])["auth_time"]
    assert claims(issued["access_token"])["exp"] == login + 28_800
    await sandbox.control("clock", {"offset_seconds": 7 * 3600})
    assert await works(sandbox, issued["access_token"])
    fresh = (await refresh(sandbox, issued["refresh_token"])).json()
    assert claims(fresh["access_token"])["exp"] == login + 43_200
    assert fresh["expires_in"] == pytest.approx(5 * 3600, abs=30)
    await sandbox.control("clock", {"offset_seconds": 8 * 3600 + 1})
    assert not await works(sandbox, issued["access_token"])
    assert await works(sandbox, fresh["access_token"])
    await sandbox.control("clock", {"offset_seconds": 12 * 3600 + 1})
    assert not await works(sandbox, fresh["access_token"])
    assert (await refresh(sandbox, fresh["refresh_token"])).status_code == 400


async def test_token_dies_in_the_middle(sandbox: Sandbox) -> None:
    issued = (await sandbox.control("tokens", {"max_requests": 2}))["access_token"]
    assert [await works(sandbox, issued) for _ in range(3)] == [True, True, False]
    one, other = [(await sandbox.control("tokens", {}))["access_token"] for _ in range(2)]
    await sandbox.control("tokens/revoke", {"token": one})
    assert [await works(sandbox, token) for token in (one, other)] == [False, True]
    await sandbox.control("tokens/revoke", {})
    assert not await works(sandbox, other)
    assert not await works(sandbox, "sandbox-demo-token")
    await sandbox.control("tokens/restore", {})
    assert await works(sandbox, "sandbox-demo-token")


async def test_firewall(sandbox: Sandbox) -> None:
    await sandbox.control("switches", {"firewall": "html"})
    for headers in ({}, {"User-Agent": "Mozilla/5.0"}):
        reply = await sandbox.binary(token=None, headers=headers)
        assert reply.status_code == 403
        assert reply.headers["content-type"].startswith("text/html")
        assert "403 Forbidden" in reply.text
    assert (await sandbox.binary(headers=BROWSER)).status_code == 200
    await sandbox.control("switches", {"firewall": "reset"})
    path = await sandbox.path()
    with pytest.raises(httpx2.ReadError):
        await sandbox.get(path)
    assert (await sandbox.get(path, headers=BROWSER)).status_code == 200
