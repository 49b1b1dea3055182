"""API keys, and what errors show and must not show."""

import asyncio
import io
import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx2
import pytest
import structlog
from pydantic import SecretStr
from sqlalchemy import select
from temporalio.client import Client

from api.app import create_app
from api.http import pagination
from api.http.auth import fingerprint
from autos import telemetry
from autos.cnj import CaseNumber
from autos.records import processes
from autos.records.database import Database
from autos.records.migrate import migrate
from autos.records.models import ApiKey
from autos.settings import Settings
from tests.integration.api_parts import ADMIN_KEY, FakeStore, opener, path, problem
from tests.integration.conftest import postgres


@pytest.fixture
async def anonymous(api: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """The same API without a key."""
    return httpx2.AsyncClient(transport=api._transport, base_url="http://api")


async def test_request_without_a_key_is_rejected(
    anonymous: httpx2.AsyncClient, case: CaseNumber
) -> None:
    for address in (path(case), path(case, "/status"), "/api/v1/jobs", "/api/v1/api-keys"):
        response = await anonymous.get(address)
        problem(response, 401, "unauthorized")
        assert response.headers["www-authenticate"].startswith("Bearer")
    # The response does not show whether the number is valid, either.
    problem(await anonymous.get("/api/v1/processes/1"), 401, "unauthorized")
    wrong = {"Authorization": f"Bearer {ADMIN_KEY}x"}
    problem(await anonymous.get("/api/v1/jobs", headers=wrong), 401, "unauthorized")
    basic = {"Authorization": "Basic YTpi"}
    problem(await anonymous.get("/api/v1/jobs", headers=basic), 401, "unauthorized")
    assert (await anonymous.get("/health/live")).status_code == 200
    assert (await anonymous.get("/metrics")).status_code == 200


async def test_key_is_accepted_in_either_header(anonymous: httpx2.AsyncClient) -> None:
    for headers in ({"Authorization": f"Bearer {ADMIN_KEY}"}, {"X-API-Key": ADMIN_KEY}):
        assert (await anonymous.get("/api/v1/jobs", headers=headers)).status_code == 200


async def test_client_key_is_forbidden_on_admin_routes(
    api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient, case: CaseNumber
) -> None:
    key = (await api.post("/api/v1/api-keys", json={"name": "client"})).json()["key"]
    headers = {"X-API-Key": key}
    assert (await anonymous.get("/api/v1/jobs", headers=headers)).status_code == 200
    for response in (
        await anonymous.get("/api/v1/api-keys", headers=headers),
        await anonymous.post("/api/v1/api-keys", headers=headers, json={"name": "x"}),
        await anonymous.delete(path(case), headers=headers),
    ):
        problem(response, 403, "forbidden")


async def test_only_a_hash_of_a_key_is_stored(api: httpx2.AsyncClient, database: Database) -> None:
    """F36."""
    created = (await api.post("/api/v1/api-keys", json={"name": "hashed"})).json()
    assert re.fullmatch(r"autos_[A-Za-z0-9_-]{43}", created["key"])
    async with database.transaction() as session:
        row = (await session.execute(select(ApiKey.__table__).where(ApiKey.name == "hashed"))).one()
    assert row.sha256 == fingerprint(created["key"])
    assert created["key"] not in str(row)
    assert created["key"].startswith(row.prefix)
    assert len(row.prefix) == 12
    listed = await api.get("/api/v1/api-keys")
    assert created["key"] not in listed.text


async def test_revoked_key_is_rejected_at_once(
    api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient
) -> None:
    created = (await api.post("/api/v1/api-keys", json={"name": "revoked"})).json()
    headers = {"X-API-Key": created["key"]}
    assert (await anonymous.get("/api/v1/jobs", headers=headers)).status_code == 200
    for _ in range(2):
        assert (await api.delete(f"/api/v1/api-keys/{created['id']}")).status_code == 204
    problem(await anonymous.get("/api/v1/jobs", headers=headers), 401, "unauthorized")
    unknown = "00000000-0000-4000-8000-000000000000"
    problem(await api.delete(f"/api/v1/api-keys/{unknown}"), 404, "api-key-unknown")


async def test_expired_key_is_rejected(
    api: httpx2.AsyncClient, anonymous: httpx2.AsyncClient, database: Database
) -> None:
    created = (await api.post("/api/v1/api-keys", json={"name": "expired"})).json()
    async with database.transaction() as session:
        row = await session.get_one(ApiKey, UUID(created["id"]))
        row.expires_at = datetime.now(UTC) - timedelta(seconds=1)
    headers = {"X-API-Key": created["key"]}
    problem(await anonymous.get("/api/v1/jobs", headers=headers), 401, "unauthorized")


@pytest.mark.parametrize(
    "expires_at",
    [
        pytest.param((datetime.now(UTC) - timedelta(seconds=1)).isoformat(), id="a second ago"),
        "1970-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2099-01-01T00:00:00",
        "2099-01-01",
        "4102444800",
        4102444800,
        0,
    ],
)
async def test_key_with_an_invalid_expiry_is_rejected(
    api: httpx2.AsyncClient, expires_at: object
) -> None:
    """(S43, S41) The expiry must be a valid time in the future."""
    body = {"name": "dead", "expires_at": expires_at}
    refused = problem(await api.post("/api/v1/api-keys", json=body), 422, "invalid-request")
    errors = refused["errors"]
    assert isinstance(errors, list)
    assert [error["where"] for error in errors] == ["body.expires_at"]


@pytest.mark.parametrize("edge", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
@pytest.mark.parametrize(
    "path", ["/api/v1/jobs", "/api/v1/processes", "/api/v1/api-keys", "/api/v1/webhooks/deliveries"]
)
async def test_cursor_outside_the_calendar_is_rejected(
    api: httpx2.AsyncClient, path: str, edge: str
) -> None:
    """(S41) In UTC these are in the years 0 and 10000."""
    cursor = pagination.encode(edge, UUID(int=0))
    problem(await api.get(path, params={"cursor": cursor}), 400, "invalid-cursor")


async def test_recovery_from_outside_the_calendar_is_rejected(api: httpx2.AsyncClient) -> None:
    """(S41) The first valid time is accepted."""
    path = "/api/v1/webhooks/recover"
    body = {"since": "0001-01-01T00:00:00+14:00"}
    problem(await api.post(path, json=body), 422, "invalid-request")
    assert (await api.post(path, json={"since": "0001-01-01T00:00:00Z"})).status_code == 202


async def test_keys_are_paged(api: httpx2.AsyncClient) -> None:
    first = (await api.get("/api/v1/api-keys", params={"limit": 1})).json()
    query = {"limit": 1, "cursor": first["next"]}
    second = (await api.get("/api/v1/api-keys", params=query)).json()
    assert first["items"][0]["id"] != second["items"][0]["id"]


@pytest.mark.parametrize(
    ("method", "address", "status", "name"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("PATCH", "/api/v1/jobs", 405, "method-not-allowed"),
        ("GET", "/api/v1/jobs?limit=0", 422, "invalid-request"),
        ("GET", "/api/v1/jobs?cursor=!", 400, "invalid-cursor"),
        ("GET", "/api/v1/jobs/no-uuid", 422, "invalid-request"),
        ("GET", "/api/v1/processes?court=%00", 422, "invalid-request"),
    ],
)
async def test_framework_errors_are_problem_documents(
    api: httpx2.AsyncClient, method: str, address: str, status: int, name: str
) -> None:
    problem(await api.request(method, address), status, name)


async def test_valid_request_id_is_reused(api: httpx2.AsyncClient) -> None:
    for given, kept in (("order-1234", True), ("short", False), ("a b<script>", False)):
        response = await api.get("/health/live", headers={"X-Request-ID": given})
        assert (response.headers["x-request-id"] == given) is kept


@pytest.fixture
def log_lines() -> Iterator[io.StringIO]:
    """The log in production's format."""
    root = logging.getLogger()
    before = list(root.handlers), root.level, structlog.get_config()
    telemetry.configure("json", "api")
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    lines = io.StringIO()
    handler.setStream(lines)
    yield lines
    root.handlers[:], level, configuration = before
    root.setLevel(level)
    structlog.configure(**configuration)


async def test_exception_is_logged_and_not_returned(
    api: httpx2.AsyncClient,
    case: CaseNumber,
    monkeypatch: pytest.MonkeyPatch,
    log_lines: io.StringIO,
) -> None:
    """F37, F32."""

    async def broken(*_: object) -> None:
        raise RuntimeError(
            "SELECT went wrong near https://hook.example/?token=hidden "
            f"with Bearer {ADMIN_KEY} of autos_{'k' * 43}"
        )

    monkeypatch.setattr(processes, "existing", broken)
    query = {"webhook_url": "https://receiver.example/?token=hidden"}
    response = await api.get(path(case, "/status"), params=query)
    answer = problem(response, 500, "internal-error")
    assert "SELECT" not in response.text
    assert "RuntimeError" not in response.text
    logged = log_lines.getvalue()
    failure, request = (json.loads(line) for line in logged.splitlines())
    assert (failure["event"], request["event"]) == ("request_failed", "request")
    assert failure["request_id"] == request["request_id"] == answer["request_id"]
    assert "SELECT went wrong" in failure["exception"]
    assert request["status"] == 500
    for secret in ("hidden", ADMIN_KEY, "k" * 20):
        assert secret not in logged


async def test_metrics_have_routes_without_case_numbers(
    api: httpx2.AsyncClient, case: CaseNumber
) -> None:
    await api.get(path(case, "/status"))
    text = (await api.get("/metrics")).text
    assert 'route="/processes/{number}/status",status="404"' in text
    assert case.digits not in text


async def test_api_recovers_after_an_outage_of_the_records(
    temporal: Client, store: FakeStore, case: CaseNumber
) -> None:
    with postgres() as server:
        await migrate(server.get_uri())
        settings = Settings(database_url=server.get_uri(), admin_key=SecretStr(ADMIN_KEY))
        database = Database.open(settings)
        server.stop()
        app = create_app(settings, opener(database, temporal, store))
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app),
                base_url="http://api",
                headers={"X-API-Key": ADMIN_KEY},
            ) as api,
        ):
            # The API started without the database; the admin key is valid once it is back.
            problem(await api.get(path(case, "/status")), 503, "records-unavailable")
            server.start()
            async with asyncio.timeout(60):
                while (await api.get(path(case, "/status"))).status_code != 404:
                    await asyncio.sleep(0.1)
            server.stop()
            for _ in range(2):
                response = await api.get(path(case, "/status"))
                problem(response, 503, "records-unavailable")
                assert response.headers["retry-after"]
            problem(await api.post(path(case, "/downloads")), 503, "records-unavailable")
            ready = await api.get("/health/ready")
            assert (ready.status_code, ready.json()["parts"]["records"]["ok"]) == (503, False)
            assert (await api.get("/health/live")).status_code == 200
            server.start()
            problem(await api.get(path(case, "/status")), 404, "process-unknown")
        await database.close()


async def test_restart_of_the_database_fails_no_later_request(
    temporal: Client, store: FakeStore, case: CaseNumber
) -> None:
    """(S43) Connections closed by the restart are replaced before they are used."""
    with postgres() as server:
        await migrate(server.get_uri())
        settings = Settings(database_url=server.get_uri(), admin_key=SecretStr(ADMIN_KEY))
        database = Database.open(settings)
        app = create_app(settings, opener(database, temporal, store))
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app),
                base_url="http://api",
                headers={"X-API-Key": ADMIN_KEY},
            ) as api,
        ):
            # Opens several connections, which are idle when the server stops.
            await asyncio.gather(*(api.get(path(case, "/status")) for _ in range(5)))
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            for _ in range(5):
                problem(await api.get(path(case, "/status")), 404, "process-unknown")
        await database.close()
