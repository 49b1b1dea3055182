"""Clients of the source for the tests of this folder, and replies of a source."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from autos.cnj import CaseNumber
from autos.settings import Settings
from autos.source import (
    Credential,
    Credentials,
    CredentialStore,
    Downloaded,
    Limiter,
    Refused,
    SourceClient,
    open_http,
)
from tests.unit.source.server import FakeServer, Script, running

NUMBER = CaseNumber.parse("9990001-21.2024.4.03.6100")
ADDRESS = (
    f"/api/v2/processos/{NUMBER.masked}/documentos/0f5c8f6e-1111-5222-8333-444455556666/binario"
)
SEARCH = f"/api/v2/processos?numeroProcesso={NUMBER.masked}"
PDF = b"%PDF-1.4 " + bytes(1000) + b"%%EOF\n"
DETAIL = json.dumps([{"numeroProcesso": NUMBER.masked, "tramitacaoAtual": {}}]).encode()
HIT = json.dumps({"content": [{"numeroProcesso": NUMBER.masked}]}).encode()
UNKNOWN = b'{"code":404,"message":"N\xc3\xa3o foram encontrados registros"}'
MISS = b'{"content":[]}'
CODEX_ERROR = b'{"status":500,"message":"Erro interno na API do Codex."}'
NO_ACCESS = '{"message":"Usuário não possui acesso ao processo"}'.encode()


class LocalPermits:
    """At most `at_once` permits in this process."""

    def __init__(self, at_once: int) -> None:
        self._free = asyncio.Semaphore(at_once)

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[None]:
        async with self._free:
            yield


class StaticCredentialStore:
    """A `CredentialStore` in this process only."""

    def __init__(self, credential: Credential | None) -> None:
        self._credential = credential

    async def load(self) -> Credential | None:
        return self._credential

    async def replace(self, old: Credential, new: Credential) -> bool:
        if self._credential != old:
            return False
        self._credential = replace(new, refused_since=self._credential.refused_since)
        return True

    async def note(self, token: str, *, refused: bool) -> None:
        present = self._credential
        if present is None or present.access_token != token:
            return
        if refused:
            since = present.refused_since or datetime.now(UTC)
            self._credential = replace(present, refused_since=since)
        else:
            self._credential = replace(present, refused_since=None, after_refusal=False)


@asynccontextmanager
async def client_of(
    server: FakeServer,
    credential: Credential | None = Credential("token"),  # noqa: B008 - frozen
    at_once: int = 20,
    connections: int | None = None,
    changes: Mapping[str, float | str] = MappingProxyType({}),
    window: float = 60.0,
    store: CredentialStore | None = None,
) -> AsyncIterator[SourceClient]:
    """A client of the server, which also serves the token endpoint."""
    settings = Settings.model_validate(
        {
            "pdpj_base_url": server.origin,
            "pdpj_token_url": f"{server.origin}/token",
            "source_idle_timeout": 5,
            "source_metadata_timeout": 5,
        }
        | dict(changes)
    )
    async with open_http(settings, connections) as http:
        held = Credentials(store or StaticCredentialStore(credential), http, settings)
        yield SourceClient(settings, http, held, Limiter(LocalPermits(at_once)), window)


async def fetch(
    script: Script,
    folder: Path,
    expected: int | None = None,
    window: float = 60.0,
    **changes: float | str,
) -> Downloaded | Refused:
    """Request the document from a server with this script."""
    async with (
        running(script) as server,
        client_of(server, changes=changes, window=window) as client,
    ):
        return await client.document(NUMBER, ADDRESS, expected, folder)


async def arrives(
    client: SourceClient,
    address: str,
    folder: Path,
    expected: int | None = None,
    number: CaseNumber = NUMBER,
) -> None:
    """Assert that the document can be downloaded."""
    outcome = await client.document(number, address, expected, folder)
    assert isinstance(outcome, Downloaded)
    outcome.close()
