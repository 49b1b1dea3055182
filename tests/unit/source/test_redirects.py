"""Redirects: followed once to the source's own hosts, and never with the token to another."""

import asyncio
from pathlib import Path

import pytest

from autos.contracts.reasons import Reason
from autos.source import Refused, SourceRefused
from autos.source.redirects import Redirects, Target
from tests.unit.source.clients import ADDRESS, HIT, NUMBER, PDF, SEARCH, arrives, client_of
from tests.unit.source.server import Request, Script, reply, running

BASE = "https://portal.example"
ASKED = f"{BASE}/api/v2/processos/x"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/api/v2/other?a=b#part", Target(f"{BASE}/api/v2/other?a=b", own=True)),
        ("y", Target(f"{BASE}/api/v2/processos/y", own=True)),
        ("https://PORTAL.example:443/y", Target("https://PORTAL.example:443/y", own=True)),
        ("https://files.example/f?X-Amz-Signature=1", None),
        ("https://store.example:9000/f", Target("https://store.example:9000/f", own=False)),
        ("https://store.example/f", None),
        ("//lake.example/f?sig=1", Target("https://lake.example/f?sig=1", own=False)),
        # Never without TLS, with user info, or to an invalid URL.
        ("http://portal.example/y", None),
        ("http://lake.example/f", None),
        ("https://user:pass@lake.example/f", None),
        ("https://lake.example:0x50/f", None),
        ("https://[lake.example/f", None),
        ("ftp://portal.example/y", None),
        ("javascript:alert(1)", None),
        ("https://portal.example.evil.example/y", None),
        ("https://portal.example\\@evil.example/y", None),
        ("/a b", None),
        ("/a\x00b", None),
        ("/ação", None),
        ("/" + "a" * 10_000, None),
        ("", None),
    ],
)
def test_only_hosts_of_the_settings_are_followed(location: str, target: Target | None) -> None:
    """(S11) Other redirects are not followed."""
    redirects = Redirects(BASE, " store.example:9000 , LAKE.example,")
    assert redirects.target(ASKED, location) == target


@pytest.mark.parametrize(
    "location",
    [
        "https://sso.cloud.pje.jus.br/auth/realms/pje/protocol/openid-connect/auth?client_id=x",
        "https://sso.acesso.gov.br/authorize",
        "/login",
        "/login.seam?x=y",
        "https://lake.example/signin",
    ],
)
def test_redirect_to_a_login_is_not_followed(location: str) -> None:
    """(S11) Also on a host to which redirects are allowed."""
    assert Redirects(BASE, "lake.example").target(ASKED, location) is None


def test_source_without_tls_may_redirect_without_tls() -> None:
    """A source on loopback, such as the sandbox."""
    redirects = Redirects("http://127.0.0.1:8700", "127.0.0.1:9000")
    requested = "http://127.0.0.1:8700/a"
    found = redirects.target(requested, "http://127.0.0.1:9000/f")
    assert found == Target("http://127.0.0.1:9000/f", own=False)
    assert redirects.target(requested, "https://127.0.0.1:8700/f") is None


def moved(path: str, location: str, status: int = 302) -> Script:
    """A source that redirects one path, and gives a document for all others."""

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.path == path:
            writer.write(reply(status, b"", {"location": location}))
        else:
            writer.write(reply(200, HIT if "?numero" in request.path else PDF))

    return script


async def test_redirect_to_an_allowed_host_is_followed_without_the_token(tmp_path: Path) -> None:
    """(S11) The host gets neither the token nor a `Referer`."""
    async with running(moved("", "")) as store:
        location = f"{store.origin}/bucket/file?X-Amz-Signature=abc"
        host = store.origin.removeprefix("http://")
        async with (
            running(moved(ADDRESS, location)) as server,
            client_of(server, changes={"source_redirect_hosts": host}) as client,
        ):
            await arrives(client, ADDRESS, tmp_path, len(PDF))
        (request,) = store.requests
    assert request.path == "/bucket/file?X-Amz-Signature=abc"
    assert request.headers.keys() == {"host", "user-agent", "accept", "accept-encoding"}


async def test_redirect_to_the_source_is_followed_with_the_token(tmp_path: Path) -> None:
    async with running(moved(ADDRESS, "/api/v2/elsewhere", 307)) as server:
        async with client_of(server) as client:
            await arrives(client, ADDRESS, tmp_path, len(PDF))
        assert [request.path for request in server.requests] == [ADDRESS, "/api/v2/elsewhere"]
        assert server.requests[1].headers["authorization"] == "Bearer token"


async def test_second_redirect_is_not_followed(tmp_path: Path) -> None:
    """(S11) A signed URL needs only one redirect."""

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(302, b"", {"location": "/again"}))

    async with running(script) as server, client_of(server) as client:
        assert await client.document(NUMBER, ADDRESS, None, tmp_path) == Refused(Reason.REDIRECTED)
        assert len(server.requests) == 2


async def test_redirect_to_another_host_is_not_followed(tmp_path: Path) -> None:
    """(S11) The host gets no request."""
    async with (
        running(moved("", "")) as store,
        running(moved(ADDRESS, f"{store.origin}/f")) as server,
        client_of(server) as client,
    ):
        assert await client.document(NUMBER, ADDRESS, None, tmp_path) == Refused(Reason.REDIRECTED)
        assert store.requests == []


async def test_refusal_of_the_redirect_host_does_not_concern_the_credential(tmp_path: Path) -> None:
    """(S11) An expired signed URL is requested again from the source."""

    async def expired(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(403, b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"))

    async with running(expired) as store:
        host = store.origin.removeprefix("http://")
        async with (
            running(moved(ADDRESS, f"{store.origin}/f")) as server,
            client_of(server, changes={"source_redirect_hosts": host}) as client,
        ):
            assert await client.document(NUMBER, ADDRESS, None, tmp_path) == Refused(
                Reason.ERROR_BODY
            )


async def test_login_in_place_of_a_document_causes_a_check_of_the_token(tmp_path: Path) -> None:
    """(S11) As after a 401: if the search works, only the document is refused."""
    login = "https://sso.example/auth/realms/pje/protocol/openid-connect/auth"
    async with running(moved(ADDRESS, login)) as server, client_of(server) as client:
        assert await client.document(NUMBER, ADDRESS, None, tmp_path) == Refused(Reason.CREDENTIAL)
        assert [request.path for request in server.requests] == [ADDRESS, SEARCH]


async def test_login_in_place_of_every_response_is_a_refused_token(tmp_path: Path) -> None:
    """(S11) It is not an outage of the source."""

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(302, b"", {"location": "/login"}))

    async with running(script) as server, client_of(server) as client:
        with pytest.raises(SourceRefused) as refused:
            await client.process(NUMBER)
        assert refused.value.reason is Reason.CREDENTIAL
