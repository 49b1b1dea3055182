"""The client against the sandbox in a separate process, over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from autos.cnj import CaseNumber
from autos.contracts.reasons import Reason
from autos.contracts.retries import retry_rule
from autos.settings import Settings
from autos.source import (
    Credential,
    Credentials,
    Downloaded,
    Limiter,
    Refused,
    SourceClient,
    open_http,
)
from tests.unit.sandbox.driver import TOKEN, Sandbox, started
from tests.unit.source.clients import LocalPermits, StaticCredentialStore

BAD = CaseNumber.parse("9990004-22.2025.8.11.0041")


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox for one test."""
    async with started() as sandbox:
        yield sandbox


@asynccontextmanager
async def client_of(
    sandbox: Sandbox,
    credential: Credential = Credential(TOKEN),  # noqa: B008 - frozen
) -> AsyncIterator[SourceClient]:
    """A client with default settings except for the URLs."""
    path = "/auth/realms/pje/protocol/openid-connect/token"
    settings = Settings(pdpj_base_url=sandbox.url, pdpj_token_url=sandbox.url + path)
    async with open_http(settings) as http:
        credentials = Credentials(StaticCredentialStore(credential), http, settings)
        yield SourceClient(settings, http, credentials, Limiter(LocalPermits(20)))


async def attempts(
    client: SourceClient, number: CaseNumber, address: str, folder: Path
) -> list[Downloaded | Refused]:
    """The attempts of a job at a document, without delays."""
    outcomes = []
    for _ in range(retry_rule(Reason.CREDENTIAL).attempts):
        outcomes.append(outcome := await client.document(number, address, None, folder))
        if isinstance(outcome, Downloaded):
            outcome.close()
    return outcomes


async def counted(sandbox: Sandbox) -> dict[str, Any]:
    """The requests that the sandbox received."""
    counters: dict[str, Any] = await sandbox.control("counters")
    return counters


async def test_document_that_returns_401_stops_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """(S1) Every attempt counts, and a case of another court is downloaded meanwhile."""
    await sandbox.fault("unauthorized_empty", process=BAD.masked, document=0, route="document")
    healthy = await sandbox.control("cases", {"documents": 24, "size_bytes": 2000})
    number = CaseNumber.parse(healthy["number"])
    assert number.court != BAD.court
    async with client_of(sandbox) as client:
        doubtful = await client.process(BAD)
        refused = asyncio.create_task(
            attempts(client, BAD, await sandbox.path(BAD.digits, 0), tmp_path)
        )
        listed = await client.process(number)
        outcomes = await asyncio.gather(
            *(
                client.document(listed.number, d.addresses[0], d.expected_size, tmp_path)
                for d in listed.documents
            )
        )
        for outcome in outcomes:
            assert isinstance(outcome, Downloaded)
            outcome.close()
        assert await refused == [Refused(Reason.CREDENTIAL)] * 3
        assert await client.probe(BAD) is None
        counters = await counted(sandbox)
        uuid = (await sandbox.case(BAD.digits))["documents"][0]["uuid"]
        assert counters["documents"][uuid] == 3
        requests = [counters["documents"][document["uuid"]] for document in healthy["documents"]]
        assert requests == [1] * 24
    assert len(doubtful.documents) > 1


async def test_thirty_refused_documents_cause_no_refresh(sandbox: Sandbox, tmp_path: Path) -> None:
    """(S3) With a refresh token: no request to the token endpoint, and 3 requests each."""
    case = await sandbox.control("cases", {"documents": 30, "size_bytes": 2000})
    await sandbox.fault("unauthorized_empty", process=case["number"], route="document")
    tokens = await sandbox.control("tokens", {})
    credential = Credential(tokens["access_token"], tokens["refresh_token"])
    async with client_of(sandbox, credential) as client:
        listed = await client.process(CaseNumber.parse(case["number"]))
        for start in range(0, 30, 5):
            batch = listed.documents[start : start + 5]
            found = await asyncio.gather(
                *(
                    attempts(client, listed.number, document.addresses[0], tmp_path)
                    for document in batch
                )
            )
            assert found == [[Refused(Reason.CREDENTIAL)] * 3] * 5
    counters = await counted(sandbox)
    paths = counters["requests_by_path"]
    assert not [path for path in paths if path.endswith("/token")]
    assert sum(counters["documents"].values()) == 90


async def test_expired_token_is_refreshed_once_and_no_document_lost(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """(S3) 30 documents are requested when the token is revoked."""
    case = await sandbox.control("cases", {"documents": 30, "size_bytes": 2000})
    tokens = await sandbox.control("tokens", {})
    credential = Credential(tokens["access_token"], tokens["refresh_token"])
    async with client_of(sandbox, credential) as client:
        listed = await client.process(CaseNumber.parse(case["number"]))
        await sandbox.control("tokens/revoke", {"token": tokens["access_token"]})
        outcomes = await asyncio.gather(
            *(
                client.document(listed.number, d.addresses[0], d.expected_size, tmp_path)
                for d in listed.documents
            )
        )
    for outcome in outcomes:
        assert isinstance(outcome, Downloaded)
        outcome.close()
    paths = (await counted(sandbox))["requests_by_path"]
    assert sum(times for path, times in paths.items() if path.endswith("/token")) == 1
