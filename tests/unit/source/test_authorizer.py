"""A refusal of one request puts that request in doubt; the token is asked about by itself."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from autos.cnj import CaseNumber
from autos.contracts.states import Reason
from autos.source import (
    Credential,
    Downloaded,
    Refused,
    SourceRefused,
    StaticCredentialStore,
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
    client_of,
)
from tests.unit.source.server import Request, Script, reply, running

OTHER = CaseNumber.parse("9990002-86.2024.8.26.0100")
OTHER_ADDRESS = ADDRESS.replace(NUMBER.masked, OTHER.masked)
OTHER_SEARCH = SEARCH.replace(NUMBER.masked, OTHER.masked)

Answers = Callable[[Request], bytes]


def good(asked: Request) -> bytes:
    """What a source in order answers to anything."""
    if "/documentos/" in asked.path:
        return reply(200, PDF)
    return reply(200, HIT if "?" in asked.path else DETAIL)


def scripted(*, refused: Callable[[Request], bool], otherwise: Answers = good) -> Script:
    """A source that refuses some requests with 401; its token endpoint hands out `new-…`."""
    issued = 0

    async def script(asked: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal issued
        if asked.path == "/token":
            issued += 1
            body = {"access_token": f"new-{issued}", "refresh_token": f"r{issued}"}
            writer.write(reply(200, json.dumps(body).encode()))
        else:
            writer.write(reply(401) if refused(asked) else otherwise(asked))

    return script


def bears(token: str) -> Callable[[Request], bool]:
    """Whether a request carries this token."""
    return lambda asked: asked.headers.get("authorization") == f"Bearer {token}"


def document(name: int) -> str:
    """The address of one more document of the case."""
    return ADDRESS.replace("444455556666", f"{name:012}")


async def test_a_document_that_answers_401_is_its_own_trouble(tmp_path: Path) -> None:
    """(S1) The token is asked about, works, and no other document of any court notices."""
    script = scripted(refused=lambda asked: asked.path == ADDRESS)
    async with running(script) as server, client_of(server) as client:
        for attempt in range(1, 4):
            assert await client.document(ADDRESS, None, tmp_path) == Refused(Reason.CREDENTIAL)
            # The probe goes out with the same token, and so does everything else.
            assert await client.probe(NUMBER) is None
            for address in (document(attempt), OTHER_ADDRESS):
                other = await client.document(address, None, tmp_path)
                assert isinstance(other, Downloaded)
                other.close()
        paths = [asked.path for asked in server.asked]
    assert paths.count(ADDRESS) == 3
    # One search for each refusal, and the test's own probes.
    assert paths.count(SEARCH) == 6


async def test_many_documents_in_doubt_at_once_are_settled_by_one_question(tmp_path: Path) -> None:
    """(S1) Single flight; requests sent after the answer are in doubt anew."""
    addresses = [document(name) for name in range(30)]
    script = scripted(refused=lambda asked: asked.path in addresses)
    async with running(script) as server, client_of(server, at_once=30) as client:
        outcomes = await asyncio.gather(
            *(client.document(address, None, tmp_path) for address in addresses[:18])
        )
        assert outcomes == [Refused(Reason.CREDENTIAL)] * 18
        assert [asked.path for asked in server.asked].count(SEARCH) == 1
        await client.document(addresses[20], None, tmp_path)
        assert [asked.path for asked in server.asked].count(SEARCH) == 2


async def test_what_the_token_gave_meanwhile_speaks_for_it(tmp_path: Path) -> None:
    """(S1) A success of any court that was sent later needs no question."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def script(asked: Request, writer: asyncio.StreamWriter) -> None:
        if asked.path == ADDRESS:
            arrived.set()
            await go.wait()
            writer.write(reply(401))
        else:
            writer.write(good(asked))

    async with running(script) as server, client_of(server) as client:
        doubtful = asyncio.create_task(client.document(ADDRESS, None, tmp_path))
        await asyncio.wait_for(arrived.wait(), 10)
        other = await client.document(OTHER_ADDRESS, None, tmp_path)
        assert isinstance(other, Downloaded)
        other.close()
        go.set()
        assert await doubtful == Refused(Reason.CREDENTIAL)
        assert [asked.path for asked in server.asked] == [ADDRESS, OTHER_ADDRESS]


async def test_a_case_that_answers_401_to_everything_stops_no_other(tmp_path: Path) -> None:
    """(S1) Where its search refuses, too, the case the token last worked for decides."""
    script = scripted(refused=lambda asked: NUMBER.masked in asked.path)
    async with running(script) as server, client_of(server) as client:
        assert await client.probe(OTHER) is None
        assert await client.probe(NUMBER) is None
        assert await client.document(ADDRESS, None, tmp_path) == Refused(Reason.CREDENTIAL)
        with pytest.raises(SourceRefused) as refused:
            await client.process(NUMBER)
        assert (refused.value.reason, refused.value.final) == (Reason.NO_ACCESS, True)
        assert await client.probe(OTHER) is None
        paths = [asked.path for asked in server.asked]
    assert paths.count(f"/api/v2/processos/{NUMBER.masked}") == 2


async def test_a_detail_refused_for_a_moment_is_read(tmp_path: Path) -> None:
    """(S1) One 401 of the gateway on a detail neither stops the job nor closes the case."""
    times = 0

    def first(asked: Request) -> bool:
        nonlocal times
        times += asked.path.endswith(NUMBER.masked) and "?" not in asked.path
        return times == 1 and "?" not in asked.path

    async with running(scripted(refused=first)) as server, client_of(server) as client:
        assert (await client.process(NUMBER)).number == NUMBER


async def test_a_token_that_the_search_refuses_is_held_back_until_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(S1) Nothing more is sent with it, then one question, and by a good answer all goes on."""
    dead = True
    script = scripted(refused=lambda asked: dead)
    store = StaticCredentialStore(Credential("token"))
    async with running(script) as server, client_of(server, store=store) as client:
        dead = False
        assert await client.probe(OTHER) is None
        dead = True
        held = Refused(Reason.CREDENTIAL, unsent=True)
        assert await client.document(ADDRESS, None, tmp_path) == held
        asked_in_all = [ADDRESS, SEARCH, OTHER_SEARCH]
        assert [asked.path for asked in server.asked[1:]] == asked_in_all
        outcomes = await asyncio.gather(
            *(client.document(document(name), None, tmp_path) for name in range(20))
        )
        assert outcomes == [held] * 20
        assert await client.probe(OTHER) == held
        with pytest.raises(SourceRefused) as refused:
            await client.process(OTHER)
        assert refused.value.reason is Reason.CREDENTIAL
        assert len(server.asked) == 4
        credential = await store.load()
        assert credential is not None
        assert credential.refused_since is not None
        # The time has come to look again; the source still refuses it.
        monkeypatch.setattr(credentials_module, "REFUSED_FOR", credentials_module.REFUSED_FOR * 0)
        assert await client.document(ADDRESS, None, tmp_path) == held
        assert [asked.path for asked in server.asked[4:]] == [SEARCH, OTHER_SEARCH]
        dead = False
        outcome = await client.document(ADDRESS, None, tmp_path)
        assert isinstance(outcome, Downloaded)
        outcome.close()
        assert [asked.path for asked in server.asked[6:]] == [SEARCH, ADDRESS]
        credential = await store.load()
        assert credential is not None
        assert credential.refused_since is None


async def test_a_refused_token_that_is_set_again_is_shown_as_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """(S34) Setting it takes the note away; the next look finds it refused and writes so."""
    monkeypatch.setattr(credentials_module, "REFUSED_FOR", credentials_module.REFUSED_FOR * 0)
    store = StaticCredentialStore(Credential("token"))
    script = scripted(refused=lambda asked: True)
    async with running(script) as server, client_of(server, store=store) as client:
        for _ in range(2):
            assert await client.probe(NUMBER) == Refused(Reason.CREDENTIAL, unsent=True)
            credential = await store.load()
            assert credential is not None
            assert credential.refused_since is not None
            await store.note("token", refused=False)


async def test_a_source_that_cannot_be_asked_leaves_the_token_alone(tmp_path: Path) -> None:
    """(S1) Only a refusal of the question is a refusal of the token."""

    def broken_search(asked: Request) -> bytes:
        return reply(503) if asked.path == SEARCH else good(asked)

    script = scripted(refused=lambda asked: asked.path == ADDRESS, otherwise=broken_search)
    async with running(script) as server, client_of(server) as client:
        assert await client.document(ADDRESS, None, tmp_path) == Refused(Reason.CREDENTIAL)
        other = await client.document(document(1), None, tmp_path)
        assert isinstance(other, Downloaded)
        other.close()
        assert await client.probe(NUMBER) == Refused(Reason.UNAVAILABLE)


@pytest.mark.parametrize(
    "answer",
    [
        reply(302, b"", {"location": "/login", "retry-after": "30"}),
        reply(404, b"", {"retry-after": "30"}),
        reply(202, b"", {"retry-after": "30"}),
    ],
)
async def test_a_retry_after_of_one_document_stops_no_other(answer: bytes, tmp_path: Path) -> None:
    """(S1) Only an overload is the whole court's; login, absence and delay are the document's."""

    def otherwise(asked: Request) -> bytes:
        return answer if asked.path == ADDRESS else good(asked)

    script = scripted(refused=lambda asked: False, otherwise=otherwise)
    async with running(script) as server, client_of(server) as client:
        refused = await client.document(ADDRESS, None, tmp_path)
        assert isinstance(refused, Refused)
        assert (refused.retry_after, refused.unsent) == (30, False)
        other = await client.document(document(1), None, tmp_path)
        assert isinstance(other, Downloaded)
        other.close()


async def test_a_question_that_is_held_back_refuses_nothing(tmp_path: Path) -> None:
    """(S1) The court's breaker opens between the refusal and the question."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def script(asked: Request, writer: asyncio.StreamWriter) -> None:
        if asked.path == ADDRESS:
            arrived.set()
            await go.wait()
            writer.write(reply(401))
        else:
            writer.write(reply(429, b"", {"retry-after": "30"}))

    store = StaticCredentialStore(Credential("token"))
    async with running(script) as server, client_of(server, store=store) as client:
        doubtful = asyncio.create_task(client.document(ADDRESS, None, tmp_path))
        await asyncio.wait_for(arrived.wait(), 10)
        await client.document(document(1), None, tmp_path)
        go.set()
        assert await doubtful == Refused(Reason.CREDENTIAL)
        assert len(server.asked) == 2
        credential = await store.load()
        assert credential is not None
        assert credential.refused_since is None


async def test_a_document_whose_case_is_closed_says_so(tmp_path: Path) -> None:
    """(S1) The body of a 401 that names the access is final and puts no token in doubt."""

    async def script(asked: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(401, NO_ACCESS))

    async with running(script) as server, client_of(server) as client:
        outcome = await client.document(ADDRESS, None, tmp_path)
        assert outcome == Refused(Reason.NO_ACCESS, final=True)
        assert len(server.asked) == 1


async def test_documents_that_answer_401_refresh_nothing(tmp_path: Path) -> None:
    """(S3) 30 documents, each asked three times, with a refresh token at hand: no refresh."""
    addresses = [document(name) for name in range(30)]
    script = scripted(refused=lambda asked: asked.path in addresses)
    store = StaticCredentialStore(Credential("token", "r0"))
    async with running(script) as server, client_of(server, store=store) as client:
        for _ in range(3):
            for start in range(0, 30, 5):
                outcomes = await asyncio.gather(
                    *(client.document(a, None, tmp_path) for a in addresses[start : start + 5])
                )
                assert outcomes == [Refused(Reason.CREDENTIAL)] * 5
        paths = [asked.path for asked in server.asked]
    assert paths.count("/token") == 0
    # At the most one question for each five of them.
    assert paths.count(SEARCH) <= 18


async def test_a_refused_token_is_refreshed_once_for_all_documents(tmp_path: Path) -> None:
    """(S3) 30 documents in the hands of one worker when the token dies."""
    async with (
        running(scripted(refused=bears("old"))) as server,
        client_of(server, Credential("old", "r0"), at_once=30) as client,
    ):
        outcomes = await asyncio.gather(
            *(client.document(document(name), None, tmp_path) for name in range(30))
        )
        for outcome in outcomes:
            assert isinstance(outcome, Downloaded)
            outcome.close()
        assert [asked.path for asked in server.asked].count("/token") == 1


async def test_a_refresh_that_did_not_help_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(S3) The source refuses every token: one refresh, by whichever process, then a person."""
    monkeypatch.setattr(credentials_module, "REFUSED_FOR", credentials_module.REFUSED_FOR * 0)
    store = StaticCredentialStore(Credential("old", "r0"))
    dead = True
    async with (
        running(scripted(refused=lambda asked: dead)) as server,
        client_of(server, store=store) as one,
        client_of(server, store=store) as two,
    ):
        for client in (one, two, one, two):
            for name in range(5):
                assert await client.document(document(name), None, tmp_path) == Refused(
                    Reason.CREDENTIAL, unsent=True
                )
        assert [asked.path for asked in server.asked].count("/token") == 1
        dead = False
        outcome = await one.document(ADDRESS, None, tmp_path)
        assert isinstance(outcome, Downloaded)
        outcome.close()
        # It has worked since, so it may be refreshed when it is refused again.
        credential = await store.load()
        assert credential is not None
        assert (credential.access_token, credential.after_refusal) == ("new-1", False)


async def test_a_document_refused_with_the_fresh_token_too_is_not_refreshed_for(
    tmp_path: Path,
) -> None:
    """(S3) The old token is dead, the new one works, the document alone refuses it."""

    def refused(asked: Request) -> bool:
        return bears("old")(asked) or asked.path == ADDRESS

    async with (
        running(scripted(refused=refused)) as server,
        client_of(server, Credential("old", "r0")) as client,
    ):
        for _ in range(3):
            assert await client.document(ADDRESS, None, tmp_path) == Refused(Reason.CREDENTIAL)
        paths = [asked.path for asked in server.asked]
    assert paths.count("/token") == 1
    assert paths.count(ADDRESS) == 4


@pytest.mark.parametrize("token", ["tok\nen", "tok en", "tok\x00en", "tökén"])
async def test_a_token_that_cannot_be_sent_is_a_want_of_credential(
    token: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """(S39) It never looks like an outage: no request, one line in the log, no secret in it."""
    async with (
        running(scripted(refused=lambda asked: False)) as server,
        client_of(server, Credential(token)) as client,
    ):
        held = Refused(Reason.CREDENTIAL, unsent=True)
        assert await client.document(ADDRESS, None, tmp_path) == held
        assert await client.probe(NUMBER) == held
        with pytest.raises(SourceRefused) as refused:
            await client.process(NUMBER)
        assert refused.value.reason is Reason.CREDENTIAL
        assert server.asked == []
    said = capsys.readouterr().out
    assert said.count("credential_unusable") == 1
    assert token not in said


async def test_a_real_tokens_end_is_all_that_is_read_of_it() -> None:
    """Keycloak's are RS256 with personal data in them; only `exp` matters."""
    head = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IngifQ"
    claims = "eyJleHAiOjE4OTM0NTYwMDAsInByZWZlcnJlZF91c2VybmFtZSI6IjAwMDAwMDAwMTkxIn0"
    credential = Credential(f"{head}.{claims}.{'A' * 342}")
    assert credential.expires_at == datetime(2030, 1, 1, tzinfo=UTC)
    assert credential.is_sendable
