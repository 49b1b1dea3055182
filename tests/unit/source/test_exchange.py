"""Every reply of the source becomes a document or a reason, in bounded time."""

import asyncio
import contextlib
import gzip
import random
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import ClientSession, TCPConnector
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from autos.contracts.reasons import Reason
from autos.settings import Settings
from autos.source import Downloaded, Refused, SourceRefused, http_exchange, open_http
from autos.source.http_exchange import Exchange, MinimumThroughput, NoReply
from tests.unit.source.clients import ADDRESS, NUMBER, PDF, arrives, client_of, fetch
from tests.unit.source.server import Request, Script, always, reply, running

IDLE = 0.3


def trickle(data: bytes, pause: float = 0.02, step: int = 1, head: bytes = b"") -> Script:
    """Sends `head` at once, and the rest in small steps."""

    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        for start in range(0, len(data), step):
            writer.write(data[start : start + step])
            await writer.drain()
            await asyncio.sleep(pause)

    return script


def forever(piece: bytes, head: bytes = b"", pause: float = 0.02) -> Script:
    """Sends `head`, then the same piece without end."""

    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return script


CHUNKED = b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n"


async def test_slow_document_is_ended(tmp_path: Path) -> None:
    """(S4) Each byte arrives within the idle timeout."""
    head = reply(200, b"%PDF", {"content-length": "100000"})
    outcome = await asyncio.wait_for(fetch(forever(b"x", head), tmp_path, window=0.5), 30)
    assert outcome == Refused(Reason.TOO_SLOW)


async def test_document_above_the_minimum_rate_is_downloaded(tmp_path: Path) -> None:
    """(S4) The minimum is a rate over a window: 60 bytes a minute are at most 1 in 0.5 s."""
    whole = reply(200, PDF)
    script = trickle(whole[-120:], head=whole[:-120], step=4)
    outcome = await fetch(script, tmp_path, len(PDF), window=0.5, source_min_bytes_per_minute=60)
    assert isinstance(outcome, Downloaded)
    outcome.close()


async def test_minimum_rate_of_zero_accepts_a_slow_document(tmp_path: Path) -> None:
    """(S4) 0 means no minimum."""
    whole = reply(200, PDF)
    script = trickle(whole[-40:], head=whole[:-40])
    outcome = await fetch(script, tmp_path, len(PDF), window=0.1, source_min_bytes_per_minute=0)
    assert isinstance(outcome, Downloaded)
    outcome.close()


async def test_slow_listing_is_ended(tmp_path: Path) -> None:
    """(S4) It would delay its whole job."""
    head = reply(200, b"[", {"content-length": "100000"})
    async with running(forever(b" ", head)) as server, client_of(server, window=0.5) as client:
        with pytest.raises(SourceRefused) as refused:
            await asyncio.wait_for(client.process(NUMBER), 30)
    assert refused.value.reason is Reason.TOO_SLOW


def test_minimum_rate_counts_whole_windows_only() -> None:
    """(S4) A slow start, a short document and a late burst are not too slow."""
    minimum = MinimumThroughput(bytes_per_minute=600, window=60)
    assert not minimum.is_missed_by(1, 59)
    assert not minimum.is_missed_by(599, 1)
    assert not minimum.is_missed_by(10, 30)
    assert minimum.is_missed_by(10, 30)
    assert not MinimumThroughput(bytes_per_minute=0, window=60).is_missed_by(0, 600)


@pytest.mark.parametrize(
    "script",
    [
        # The headers never end.
        forever(b"HTTP/1.1 100 Continue\r\n\r\n"),
        forever(b"x-filler: y\r\n", b"HTTP/1.1 200 X\r\n", 0.05),
        # Chunks without a byte of the body.
        forever(b"0", CHUNKED + b"3\r\nabc\r\n", 0.05),
        forever(b"x: y\r\n", CHUNKED + b"3\r\nabc\r\n0\r\n", 0.05),
    ],
)
async def test_endless_framing_is_a_timeout(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte resets the HTTP library's timeout."""
    monkeypatch.setattr(http_exchange, "CONNECT_SECONDS", 0.2)
    changes = {"source_idle_timeout": IDLE, "source_min_bytes_per_minute": 0}
    async with running(script) as server, client_of(server, changes=changes) as client:
        async with asyncio.timeout(60):
            outcome = await client.document(NUMBER, ADDRESS, None, tmp_path)
    assert isinstance(outcome, Refused)
    assert outcome.reason in (Reason.TIMEOUT, Reason.UNAVAILABLE, Reason.TRUNCATED)


async def test_error_with_a_truncated_body_keeps_its_reason(tmp_path: Path) -> None:
    whole = reply(503, b"x" * 500)
    outcome = await fetch(always(whole[:-100], then_close=True), tmp_path)
    assert outcome == Refused(Reason.UNAVAILABLE)
    packed = gzip.compress(b'{"message":"possui acesso"}')
    script = always(reply(401, packed, {"content-encoding": "gzip"}))
    assert await fetch(script, tmp_path) == Refused(Reason.NO_ACCESS, final=True)


async def test_cookies_are_not_stored(tmp_path: Path) -> None:
    script = always(reply(200, PDF, {"set-cookie": "JSESSIONID=1; Path=/"}))
    async with running(script) as server, open_http(Settings()) as http:
        for _ in range(2):
            async with http.get(server.origin):
                pass
        assert "cookie" not in server.requests[1].headers
        assert not list(http.cookie_jar)


async def test_invalid_user_agent_is_rejected_at_the_start() -> None:
    """(S39) It is the only other header that an operator sets."""
    for agent in ("Mozílla", "a\nb", "", " x"):
        with pytest.raises(ValueError, match="pdpj_user_agent"):
            Settings.model_validate({"pdpj_user_agent": agent})


HOSTILE: dict[str, bytes] = {
    "no status": b"HTTP/1.1\r\n\r\n",
    "odd status": b"HTTP/1.1 999 X\r\ncontent-length: 0\r\n\r\n",
    "status 000": b"HTTP/1.1 000 X\r\ncontent-length: 0\r\n\r\n",
    "switching protocols": b"HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nabc",
    "early hints": b"HTTP/1.1 103 X\r\nlink: </x>\r\n\r\n" + reply(200, PDF),
    "many hints": b"HTTP/1.1 103 X\r\n\r\n" * 5000 + reply(200, PDF),
    "huge header": b"HTTP/1.1 200 X\r\nx: " + b"y" * 1_000_000 + b"\r\n\r\n",
    "many headers": b"HTTP/1.1 200 X\r\n" + b"x: y\r\n" * 50_000 + b"\r\n",
    "bare newlines": b"HTTP/1.1 200 X\ncontent-length: 3\n\nabc",
    "header without colon": b"HTTP/1.1 200 X\r\nnonsense\r\n\r\n",
    "header with NUL": b"HTTP/1.1 200 X\r\nx: a\0b\r\ncontent-length: 3\r\n\r\nabc",
    "two lengths": b"HTTP/1.1 200 X\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    "negative length": b"HTTP/1.1 200 X\r\ncontent-length: -3\r\n\r\nabc",
    "endless length": b"HTTP/1.1 200 X\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\nabc",
    "length in other digits": "HTTP/1.1 200 X\r\ncontent-length: ٣\r\n\r\nabc".encode(),
    "length and chunks": CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-length: 3\r\n\r\n")
    + b"0\r\n\r\n",
    "bad chunk size": CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n",
    "huge chunk size": CHUNKED + b"f" * 40 + b"\r\nabc",
    "negative chunk size": CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n",
    "chunk too long": CHUNKED + b"2\r\nabcdef\r\n0\r\n\r\n",
    "chunk extension": CHUNKED + b"3;" + b"x" * 200_000 + b"\r\nabc\r\n0\r\n\r\n",
    "bad trailer": CHUNKED + b"3\r\nabc\r\n0\r\n\x00\xff: z\r\n\r\n",
    "other transfer coding": b"HTTP/1.1 200 X\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "location in no charset": b"HTTP/1.1 302 X\r\nlocation: /\xff\xfe\r\ncontent-length: 0\r\n\r\n",
    "location without end": b"HTTP/1.1 302 X\r\nlocation: /" + b"a" * 70_000 + b"\r\n\r\n",
    "location of a bad host": b"HTTP/1.1 302 X\r\nlocation: http://[::zz]:9/\r\n\r\n",
    "location of a bad name": "HTTP/1.1 302 X\r\nlocation: http://\u0130\u00df.\u2024/\r\n\r\n".encode(),
    "location of a bad port": b"HTTP/1.1 302 X\r\nlocation: http://a:99999999/\r\n\r\n",
    "location of no host": b"HTTP/1.1 302 X\r\nlocation: http:///x\r\n\r\n",
    "two locations": b"HTTP/1.1 302 X\r\nlocation: /a\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n",
    "type in no charset": b"HTTP/1.1 200 X\r\ncontent-type: text/\xff; charset=\xfe\r\n"
    b"content-length: 3\r\n\r\nabc",
    "charset that is none": b"HTTP/1.1 200 X\r\ncontent-type: text/html; charset=\xf0\x9f\r\n"
    b"content-length: 3\r\n\r\nabc",
    "cookies": b"HTTP/1.1 200 X\r\n"
    + b"set-cookie: \xff=;;=; expires=never; domain=.; max-age=x\r\n" * 50
    + b"content-length: 3\r\n\r\nabc",
    "retry after nonsense": b"HTTP/1.1 429 X\r\nretry-after: 9e999\r\ncontent-length: 0\r\n\r\n",
    "retry after long ago": b"HTTP/1.1 503 X\r\nretry-after: Mon, 01 Jan 0000 00:00:00 GMT\r\n"
    b"content-length: 0\r\n\r\n",
    "bad gzip": b"HTTP/1.1 200 X\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc",
    "coding in no charset": b"HTTP/1.1 200 X\r\ncontent-encoding: \xff\r\n"
    b"content-length: 3\r\n\r\nabc",
    "nested JSON": reply(200, b"[" * 100_000 + b"]" * 100_000),
    "a number without end": reply(200, b"[" + b"9" * 100_000 + b"]"),
    "JSON in no charset": reply(200, b'[{"numeroProcesso": "\xff\xfe"}]'),
    "another server": b"SSH-2.0-OpenSSH_9.2\r\n",
    "TLS": bytes.fromhex("15030100020228"),
    "nothing": b"",
    "zeros": bytes(5000),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_every_reply_has_a_declared_outcome(name: str, tmp_path: Path) -> None:
    """For a document, a listing and a check."""
    script = always(HOSTILE[name], then_close=True)
    await ends_well(script, tmp_path)


async def ends_well(script: Script, folder: Path) -> None:
    """Send every kind of request; each must end with a declared outcome."""
    changes = {"source_idle_timeout": 2, "source_metadata_timeout": 2}
    async with running(script) as server, client_of(server, changes=changes) as client:
        async with asyncio.timeout(60):
            outcome = await client.document(NUMBER, ADDRESS, None, folder)
            if isinstance(outcome, Downloaded):
                outcome.close()
            await client.probe(NUMBER)
            with contextlib.suppress(SourceRefused):
                await client.process(NUMBER)
    assert list(folder.iterdir()) == []


def mutated(chance: random.Random, answer: bytes) -> bytes:
    """The reply with a few bytes changed, doubled or removed."""
    data = bytearray(answer)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                del data[at : at + chance.randint(1, 20)]
            case 2:
                data[at:at] = data[at : at + chance.randint(1, 20)]
            case _:
                data[at:at] = chance.randbytes(chance.randint(1, 8))
        data = data or bytearray(b"x")
    return bytes(data)


SEEDS: list[Callable[[], bytes]] = [
    lambda: reply(200, PDF[:60], {"content-type": "application/pdf"}),
    lambda: CHUNKED + b"5\r\n%PDF-\r\n5;a=b\r\n1.4 x\r\n0\r\nx-end: y\r\n\r\n",
    lambda: reply(200, gzip.compress(PDF[:60]), {"content-encoding": "gzip"}),
    lambda: reply(302, b"", {"location": "https://sso.example/auth?x=y"}),
    lambda: reply(401, b'{"status":401,"message":""}', {"content-type": "application/json"}),
    lambda: reply(429, b"", {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}),
    lambda: reply(200, b'[{"numeroProcesso":"9990001-21.2024.4.03.6100","tramitacoes":[]}]'),
]


async def test_damaged_replies_have_a_declared_outcome(tmp_path: Path) -> None:
    """Replies of a source with a few wrong bytes."""
    chance = random.Random(0)

    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(mutated(chance, chance.choice(SEEDS)()))
        await writer.drain()
        writer.close()

    for _ in range(60):
        await ends_well(script, tmp_path)


async def test_connection_reset_is_detected(tmp_path: Path) -> None:
    """During the headers, during the body, and at the close."""
    whole = reply(200, PDF)

    for length in (5, 30, len(whole) - 100):

        async def script(_: Request, writer: asyncio.StreamWriter, length: int = length) -> None:
            writer.write(whole[:length])
            await writer.drain()
            writer.transport.abort()

        outcome = await fetch(script, tmp_path)
        assert isinstance(outcome, Refused)
        assert outcome.reason in (Reason.UNAVAILABLE, Reason.TRUNCATED)


async def test_request_that_cannot_be_sent_is_no_outage(tmp_path: Path) -> None:
    """(S39) A request that the library refuses to send is a defect and is not retried."""
    async with running(always(reply(200, PDF))) as server, client_of(server) as client:
        client._document_headers["x-bad"] = "a\nb"
        assert await client.document(NUMBER, ADDRESS, None, tmp_path) == Refused(
            Reason.INTERNAL_ERROR
        )
        assert server.requests == []


async def test_pool_without_a_free_connection_is_a_timeout(tmp_path: Path) -> None:
    async def hang(_: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    changes = {"source_idle_timeout": IDLE}
    async with running(hang) as server, client_of(server, connections=1, changes=changes) as client:
        outcomes = await asyncio.gather(
            *(client.document(NUMBER, ADDRESS, None, tmp_path) for _ in range(2))
        )
    assert outcomes == [Refused(Reason.TIMEOUT)] * 2


def certificate(folder: Path) -> Path:
    """A file with a self-signed certificate of `localhost` and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    present = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(present - timedelta(days=1))
        .not_valid_after(present + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "localhost.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + signed.public_bytes(Encoding.PEM)
    )
    return file


class BrokenTls:
    """A server that sends a broken TLS record: during the handshake, or during the body."""

    def __init__(self, certificate: Path, *, in_body: bool) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._in_body = in_body
        self.head_arrived = asyncio.Event()
        """Set by the test: the body may break."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            if self._in_body:
                incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
                tls = self._context.wrap_bio(incoming, outgoing, server_side=True)
                for step in (tls.do_handshake, tls.read):
                    while True:
                        try:
                            step()
                            break
                        except ssl.SSLWantReadError:
                            writer.write(outgoing.read())
                            incoming.write(await reader.read(65536))
                tls.write(reply(200, PDF, {"content-length": "100000"}))
                writer.write(outgoing.read())
                await self.head_arrived.wait()
            writer.write(b"\x17\x03\x03\x00\x20" + bytes(32))
            await writer.drain()
            await reader.read(65536)


@pytest.mark.parametrize(
    ("in_body", "reason"), [(False, Reason.UNAVAILABLE), (True, Reason.TRUNCATED)]
)
async def test_tls_failure_is_a_broken_connection(
    in_body: bool, reason: Reason, tmp_path: Path
) -> None:
    own = certificate(tmp_path)
    broken = BrokenTls(own, in_body=in_body)

    async def read(http: ClientSession, settings: Settings) -> None:
        async with Exchange(settings, http).get("/x", "token", {}, 5) as received:
            broken.head_arrived.set()
            async for _ in received.chunks():
                pass

    trusting = TCPConnector(ssl=ssl.create_default_context(cafile=own))
    async with (
        await asyncio.start_server(broken.serve, "127.0.0.1", 0) as server,
        ClientSession(connector=trusting) as http,
    ):
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NoReply) as no_reply:
            await read(http, Settings(pdpj_base_url=f"https://localhost:{port}"))
    assert no_reply.value.refused == Refused(reason)


async def test_connection_that_the_server_closed_is_not_used_again(tmp_path: Path) -> None:
    """The reply does not announce it, and the next request follows at once."""
    closing = always(reply(200, PDF), then_close=True)
    async with running(closing) as server, client_of(server) as client:
        for _ in range(10):
            await arrives(client, ADDRESS, tmp_path)
        assert len(server.requests) == 10


async def test_lost_connection_is_not_retried(tmp_path: Path) -> None:
    """Neither a new connection nor one that an earlier request left open."""
    answers = [b"", reply(200, PDF), b""]

    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        if answer := answers.pop(0):
            writer.write(answer)
        else:
            writer.transport.abort()

    async with running(script) as server, client_of(server) as client:
        lost = Refused(Reason.UNAVAILABLE)
        assert await client.document(NUMBER, ADDRESS, None, tmp_path) == lost
        await arrives(client, ADDRESS, tmp_path)
        assert await client.document(NUMBER, ADDRESS, None, tmp_path) == lost
        assert len(server.requests) == 3
