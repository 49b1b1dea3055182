"""The sender's results for working and failing receivers on loopback."""

import time
from collections.abc import AsyncIterator, Sequence

import pytest

from autos.webhooks.address_guard import Address, GuardedBackend, GuardedTransport
from autos.webhooks.sender import EXCERPT_BYTES, Failure, Reply, Sender
from tests.unit.webhooks.receiver import (
    Answer,
    drip_body,
    drip_headers,
    drop,
    flood,
    hang,
    nonsense,
    receiver,
    status,
)

TIMEOUT = 0.4


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    """A sender with a short timeout that may use loopback."""
    sender = Sender(GuardedTransport(allow_private=True), timeout=TIMEOUT)
    yield sender
    await sender.close()


async def sent(sender: Sender, answer: Answer) -> Reply:
    async with receiver(answer) as up:
        return await sender.post(up.url, {"webhook-id": "evt_1"}, b"{}")


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299])
async def test_any_2xx_is_a_success(sender: Sender, code: int) -> None:
    reply = await sent(sender, status(code))
    assert reply.accepted
    assert reply.status_code == code


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (301, Failure.REDIRECT),
        (302, Failure.REDIRECT),
        (304, Failure.REDIRECT),
        (307, Failure.REDIRECT),
        (308, Failure.REDIRECT),
        (400, Failure.STATUS),
        (401, Failure.STATUS),
        (404, Failure.STATUS),
        (410, Failure.GONE),
        (429, Failure.STATUS),
        (500, Failure.STATUS),
        (503, Failure.STATUS),
        (600, Failure.STATUS),
    ],
)
async def test_any_other_status_is_a_failure(sender: Sender, code: int, failure: Failure) -> None:
    reply = await sent(sender, status(code, Location="http://127.0.0.1:1/"))
    assert reply.failure is failure
    assert reply.status_code == code


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (hang, Failure.TIMEOUT),
        (drip_headers, Failure.TIMEOUT),
        (drop, Failure.PROTOCOL),
        (nonsense, Failure.PROTOCOL),
    ],
)
async def test_failing_receiver_is_a_failure(
    sender: Sender, answer: Answer, failure: Failure
) -> None:
    began = time.monotonic()
    reply = await sent(sender, answer)
    assert reply.failure is failure
    assert reply.status_code is None
    assert time.monotonic() - began < TIMEOUT + 0.5


@pytest.mark.parametrize("answer", [drip_body, flood])
async def test_status_decides_regardless_of_the_body(sender: Sender, answer: Answer) -> None:
    began = time.monotonic()
    reply = await sent(sender, answer)
    assert reply.accepted
    assert reply.length is not None
    assert reply.length <= 65_536
    assert len(reply.excerpt or b"") <= EXCERPT_BYTES
    assert time.monotonic() - began < TIMEOUT + 0.5


async def test_endless_body_is_not_read() -> None:
    patient = Sender(GuardedTransport(allow_private=True))
    began = time.monotonic()
    assert (await sent(patient, flood)).length == 65_536
    assert time.monotonic() - began < 1
    await patient.close()


async def test_closed_port_is_a_connection_failure(sender: Sender) -> None:
    async with receiver() as up:
        url = up.url
    assert (await sender.post(url, {}, b"{}")).failure is Failure.CONNECTION


async def test_unresolvable_name_is_a_failure() -> None:
    async def no_address(host: str, port: int) -> Sequence[Address]:
        raise OSError

    backend = GuardedBackend(allow_private=False, resolver=no_address)
    async with GuardedTransport(allow_private=False, backend=backend) as transport:
        reply = await Sender(transport).post("https://unknown.example/", {}, b"{}")
    assert reply.failure is Failure.CONNECTION


@pytest.mark.parametrize("url", ["", "https://u:p@x/", "http://0x7f.1/", "not an address"])
async def test_address_refused_by_the_guard_is_blocked(sender: Sender, url: str) -> None:
    assert (await sender.post(url, {}, b"{}")).failure is Failure.BLOCKED


async def test_beginning_of_the_response_is_kept(sender: Sender) -> None:
    reply = await sent(sender, status(500, b"e" * 3000))
    assert reply.length == 3000
    assert reply.excerpt == b"e" * EXCERPT_BYTES


async def test_signed_bytes_are_sent_unchanged(sender: Sender) -> None:
    body = '{"name":"é \\u2028"}'.encode()
    async with receiver() as up:
        await sender.post(up.url, {"webhook-id": "evt_1"}, body)
    (request,) = up.requests
    assert request.body == body
    assert request.target == "/hook?token=in-the-query"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == "evt_1"


async def test_cookies_are_not_sent_with_later_requests(sender: Sender) -> None:
    async with receiver(status(200, Set_Cookie="a=b")) as up:
        for _ in range(2):
            await sender.post(up.url, {}, b"{}")
    assert all("cookie" not in request.headers for request in up.requests)


async def test_probe_sends_a_head_request(sender: Sender) -> None:
    async with receiver(status(405)) as up:
        reply = await sender.probe(up.url)
    assert reply.status_code == 405
    assert up.requests[0].body == b""


async def test_retry_after_of_a_failure_is_reported(sender: Sender) -> None:
    assert (await sent(sender, status(429, Retry_After="120"))).retry_after == 120
    assert (await sent(sender, status(200, Retry_After="120"))).retry_after is None
