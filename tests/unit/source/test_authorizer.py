"""A refused request causes a separate check of the token."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from autos.cnj import CaseNumber
from autos.contracts.reasons import Reason
from autos.source import (
    Credential,
    Downloaded,
    Refused,
    SourceRefused,
)
from autos.source.credentials import provider as credentials_module
from tests.unit.source.clients import (
    ADDRESS,
    DETAIL,
    HIT,
    NO_ACCESS,
    NUMBER,
    PDF,
    SEARCH,
    StaticCredentialStore,
    arrives,
    client_of,
)
from tests.unit.source.server import Request, Script, reply, running

OTHER = CaseNumber.parse("9990002-86.2024.8.26.0100")
OTHER_ADDRESS = ADDRESS.replace(NUMBER.masked, OTHER.masked)
OTHER_SEARCH = SEARCH.replace(NUMBER.masked, OTHER.masked)

Answers = Callable[[Request], bytes]


def good(request: Request) -> bytes:
    """The response of a working source to any request."""
    if "/documentos/" in request.path:
        return reply(200, PDF)
    return reply(200, HIT if "?" in request.path else DETAIL)


def scripted(*, refused: Callable[[Request], bool], otherwise: Answers = good) -> Script:
    """A source that refuses some requests with 401; its token endpoint returns `new-…` tokens."""
    issued = 0

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal issued
        if request.path == "/token":
            issued += 1
            body = {"access_token": f"new-{issued}", "refresh_token": f"r{issued}"}
            writer.write(reply(200, json.dumps(body).encode()))
        else:
            writer.write(reply(401) if refused(request) else otherwise(request))

    return script


def bears(token: str) -> Callable[[Request], bool]:
    """A predicate for requests with this token."""
    return lambda request: request.headers.get("authorization") == f"Bearer {token}"


def document(name: int) -> str:
    """The address of a document of the case."""
    return ADDRESS.replace("444455556666", f"{name:012}")


async def test_document_that_returns_401_affects_no_other(tmp_path: Path) -> None:
    """(S1) The token is checked and works."""
    script = scripted(refused=lambda request: request.path == ADDRESS)
    async with running(script) as server, client_of(server) as client:
        for attempt in range(1, 4):
            assert await client.document(NUMBER, ADDRESS, None, tmp_path) == Refused(
                Reason.CREDENTIAL
            )
            # The check and all other requests are sent with the same token.
            assert await client.probe(NUMBER) is None
            await arrives(client, document(attempt), tmp_path)
            await arrives(client, OTHER_ADDRESS, tmp_path, number=OTHER)
        paths = [request.path for request in server.requests]
    assert paths.count(ADDRESS) == 3
    # One search for each refusal, and the checks made by the test.
    assert paths.count(SEARCH) == 6


async def test_concurrent_refusals_share_one_check(tmp_path: Path) -> None:
    """(S1) Requests sent after the check need another one."""
    addresses = [document(name) for name in range(30)]
    script = scripted(refused=lambda request: request.path in addresses)
    async with running(script) as server, client_of(server, at_once=30) as client:
        outcomes = await asyncio.gather(
            *(client.document(NUMBER, address, None, tmp_path) for address in addresses[:18])
        )
        assert outcomes == [Refused(Reason.CREDENTIAL)] * 18
        assert [request.path for request in server.requests].count(SEARCH) == 1
        await client.document(NUMBER, addresses[20], None, tmp_path)
        assert [request.path for request in server.requests].count(SEARCH) == 2


async def test_later_success_shows_that_the_token_works(tmp_path: Path) -> None:
    """(S1) After a success of a later request to any court, no check is needed."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.path == ADDRESS:
            arrived.set()
            await go.wait()
            writer.write(reply(401))
        else:
            writer.write(good(request))

    async with running(script) as server, client_of(server) as client:
        doubtful = asyncio.create_task(client.document(NUMBER, ADDRESS, None, tmp_path))
        await asyncio.wait_for(arrived.wait(), 10)
        await arrives(client, OTHER_ADDRESS, tmp_path, number=OTHER)
        go.set()
        assert await doubtful == Refused(Reason.CREDENTIAL)
        assert [request.path for request in server.requests] == [ADDRESS, OTHER_ADDRESS]


async def test_case_that_returns_401_to_everything_stops_no_other(tmp_path: Path) -> None:
    """(S1) If its search is refused, too, the case for which the token last worked decides."""
    script = scripted(refused=lambda request: NUMBER.masked in request.path)
    async with running(script) as server, client_of(server) as client:
        assert await client.probe(OTHER) is None
        assert await client.probe(NUMBER) is None
        assert await client.document(NUMBER, ADDRESS, None, tmp_path) == Refused(Reason.CREDENTIAL)
        with pytest.raises(SourceRefused) as refused:
            await client.process(NUMBER)
        assert (refused.value.reason, refused.value.final) == (Reason.NO_ACCESS, True)
        assert await client.probe(OTHER) is None
        paths = [request.path for request in server.requests]
    assert paths.count(f"/api/v2/processos/{NUMBER.masked}") == 2


async def test_detail_refused_once_is_fetched(tmp_path: Path) -> None:
    """(S1) One 401 of the gateway on a detail is no final refusal."""
    times = 0

    def first(request: Request) -> bool:
        nonlocal times
        times += request.path.endswith(NUMBER.masked) and "?" not in request.path
        return times == 1 and "?" not in request.path

    async with running(scripted(refused=first)) as server, client_of(server) as client:
        assert (await client.process(NUMBER)).number == NUMBER


async def test_refused_token_is_not_sent_until_the_next_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(S1) After a successful check, all requests continue."""
    dead = True
    script = scripted(refused=lambda request: dead)
    store = StaticCredentialStore(Credential("token"))
    async with running(script) as server, client_of(server, store=store) as client:
        dead = False
        assert await client.probe(OTHER) is None
        dead = True
        held = Refused(Reason.CREDENTIAL, unsent=True)
        assert await client.document(NUMBER, ADDRESS, None, tmp_path) == held
        asked_in_all = [ADDRESS, SEARCH, OTHER_SEARCH]
        assert [request.path for request in server.requests[1:]] == asked_in_all
        outcomes = await asyncio.gather(
            *(client.document(NUMBER, document(name), None, tmp_path) for name in range(20))
        )
        assert outcomes == [held] * 20
        assert await client.probe(OTHER) == held
        with pytest.raises(SourceRefused) as refused:
            await client.process(OTHER)
        assert refused.value.reason is Reason.CREDENTIAL
        assert len(server.requests) == 4
        credential = await store.load()
        assert credential is not None
        assert credential.refused_since is not None
        # The next check is due; the source still refuses the token.
        monkeypatch.setattr(credentials_module, "REFUSED_FOR", credentials_module.REFUSED_FOR * 0)
        assert await client.document(NUMBER, ADDRESS, None, tmp_path) == held
        assert [request.path for request in server.requests[4:]] == [SEARCH, OTHER_SEARCH]
        dead = False
        await arrives(client, ADDRESS, tmp_path)
        assert [request.path for request in server.requests[6:]] == [SEARCH, ADDRESS]
        credential = await store.load()
        assert credential is not None
        assert credential.refused_since is None


async def test_refused_token_that_is_set_again_is_shown_as_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """(S34) Setting it removes the stored refusal; the next check stores it again."""
    monkeypatch.setattr(credentials_module, "REFUSED_FOR", credentials_module.REFUSED_FOR * 0)
    store = StaticCredentialStore(Credential("token"))
    script = scripted(refused=lambda request: True)
    async with running(script) as server, client_of(server, store=store) as client:
        for _ in range(2):
            assert await client.probe(NUMBER) == Refused(Reason.CREDENTIAL, unsent=True)
            credential = await store.load()
            assert credential is not None
            assert credential.refused_since is not None
            await store.note("token", refused=False)


async def test_outage_during_the_check_does_not_refuse_the_token(tmp_path: Path) -> None:
    """(S1) Only a refused check refuses the token."""

    def broken_search(request: Request) -> bytes:
        return reply(503) if request.path == SEARCH else good(request)

    script = scripted(refused=lambda request: request.path == ADDRESS, otherwise=broken_search)
    async with running(script) as server, client_of(server) as client:
        assert await client.document(NUMBER, ADDRESS, None, tmp_path) == Refused(Reason.CREDENTIAL)
        await arrives(client, document(1), tmp_path)
        assert await client.probe(NUMBER) == Refused(Reason.UNAVAILABLE)


@pytest.mark.parametrize(
    "answer",
    [
        reply(302, b"", {"location": "/login", "retry-after": "30"}),
        reply(404, b"", {"retry-after": "30"}),
        reply(202, b"", {"retry-after": "30"}),
    ],
)
async def test_retry_after_of_one_document_stops_no_other(answer: bytes, tmp_path: Path) -> None:
    """(S1) Only an overload concerns the whole court."""

    def otherwise(request: Request) -> bytes:
        return answer if request.path == ADDRESS else good(request)

    script = scripted(refused=lambda request: False, otherwise=otherwise)
    async with running(script) as server, client_of(server) as client:
        refused = await client.document(NUMBER, ADDRESS, None, tmp_path)
        assert isinstance(refused, Refused)
        assert (refused.retry_after, refused.unsent) == (30, False)
        await arrives(client, document(1), tmp_path)


async def test_check_that_is_not_sent_refuses_nothing(tmp_path: Path) -> None:
    """(S1) The court's breaker opens between the refusal and the check."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.path == ADDRESS:
            arrived.set()
            await go.wait()
            writer.write(reply(401))
        else:
            writer.write(reply(429, b"", {"retry-after": "30"}))

    store = StaticCredentialStore(Credential("token"))
    async with running(script) as server, client_of(server, store=store) as client:
        doubtful = asyncio.create_task(client.document(NUMBER, ADDRESS, None, tmp_path))
        await asyncio.wait_for(arrived.wait(), 10)
        await client.document(NUMBER, document(1), None, tmp_path)
        go.set()
        assert await doubtful == Refused(Reason.CREDENTIAL)
        assert len(server.requests) == 2
        credential = await store.load()
        assert credential is not None
        assert credential.refused_since is None


async def test_document_of_an_inaccessible_case_is_no_access(tmp_path: Path) -> None:
    """(S1) A 401 whose body names missing access is final and causes no check."""

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(401, NO_ACCESS))

    async with running(script) as server, client_of(server) as client:
        outcome = await client.document(NUMBER, ADDRESS, None, tmp_path)
        assert outcome == Refused(Reason.NO_ACCESS, final=True)
        assert len(server.requests) == 1


async def test_refused_documents_cause_no_refresh(tmp_path: Path) -> None:
    """(S3) 30 documents are requested three times each, with a refresh token."""
    addresses = [document(name) for name in range(30)]
    script = scripted(refused=lambda request: request.path in addresses)
    store = StaticCredentialStore(Credential("token", "r0"))
    async with running(script) as server, client_of(server, store=store) as client:
        for _ in range(3):
            for start in range(0, 30, 5):
                outcomes = await asyncio.gather(
                    *(
                        client.document(NUMBER, a, None, tmp_path)
                        for a in addresses[start : start + 5]
                    )
                )
                assert outcomes == [Refused(Reason.CREDENTIAL)] * 5
        paths = [request.path for request in server.requests]
    assert paths.count("/token") == 0
    # At most one check for five documents.
    assert paths.count(SEARCH) <= 18


async def test_refused_token_is_refreshed_once_for_all_documents(tmp_path: Path) -> None:
    """(S3) 30 documents are in flight when the token expires."""
    async with (
        running(scripted(refused=bears("old"))) as server,
        client_of(server, Credential("old", "r0"), at_once=30) as client,
    ):
        outcomes = await asyncio.gather(
            *(client.document(NUMBER, document(name), None, tmp_path) for name in range(30))
        )
        for outcome in outcomes:
            assert isinstance(outcome, Downloaded)
            outcome.close()
        assert [request.path for request in server.requests].count("/token") == 1


async def test_refresh_without_effect_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(S3) The source refuses every token: one refresh over all processes."""
    monkeypatch.setattr(credentials_module, "REFUSED_FOR", credentials_module.REFUSED_FOR * 0)
    store = StaticCredentialStore(Credential("old", "r0"))
    dead = True
    async with (
        running(scripted(refused=lambda request: dead)) as server,
        client_of(server, store=store) as one,
        client_of(server, store=store) as two,
    ):
        for client in (one, two, one, two):
            for name in range(5):
                assert await client.document(NUMBER, document(name), None, tmp_path) == Refused(
                    Reason.CREDENTIAL, unsent=True
                )
        assert [request.path for request in server.requests].count("/token") == 1
        dead = False
        await arrives(one, ADDRESS, tmp_path)
        # The token has worked since, so a further refusal allows a refresh.
        credential = await store.load()
        assert credential is not None
        assert (credential.access_token, credential.after_refusal) == ("new-1", False)


async def test_document_refused_with_the_new_token_causes_no_refresh(
    tmp_path: Path,
) -> None:
    """(S3) The old token has expired and the new one works for other documents."""

    def refused(request: Request) -> bool:
        return bears("old")(request) or request.path == ADDRESS

    async with (
        running(scripted(refused=refused)) as server,
        client_of(server, Credential("old", "r0")) as client,
    ):
        for _ in range(3):
            assert await client.document(NUMBER, ADDRESS, None, tmp_path) == Refused(
                Reason.CREDENTIAL
            )
        paths = [request.path for request in server.requests]
    assert paths.count("/token") == 1
    assert paths.count(ADDRESS) == 4


@pytest.mark.parametrize("token", ["tok\nen", "tok en", "tok\x00en", "tökén"])
async def test_token_that_cannot_be_sent_counts_as_refused(
    token: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """(S39) No request is sent; the log has one line without the secret."""
    async with (
        running(scripted(refused=lambda request: False)) as server,
        client_of(server, Credential(token)) as client,
    ):
        held = Refused(Reason.CREDENTIAL, unsent=True)
        assert await client.document(NUMBER, ADDRESS, None, tmp_path) == held
        assert await client.probe(NUMBER) == held
        with pytest.raises(SourceRefused) as refused:
            await client.process(NUMBER)
        assert refused.value.reason is Reason.CREDENTIAL
        assert server.requests == []
    said = capsys.readouterr().out
    assert said.count("credential_unusable") == 1
    assert token not in said


async def test_only_the_expiry_of_a_token_is_read() -> None:
    """Keycloak's RS256 tokens contain personal data; only `exp` is used."""
    head = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IngifQ"
    claims = "eyJleHAiOjE4OTM0NTYwMDAsInByZWZlcnJlZF91c2VybmFtZSI6IjAwMDAwMDAwMTkxIn0"
    credential = Credential(f"{head}.{claims}.{'A' * 342}")
    assert credential.expires_at == datetime(2030, 1, 1, tzinfo=UTC)
    assert credential.is_sendable
