"""What the sender makes of receivers, good and bad; all of them real, on loopback."""

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
    """A sender with little patience that may go to loopback."""
    sender = Sender(GuardedTransport(allow_private=True), timeout=TIMEOUT)
    yield sender
    await sender.close()


async def sent(sender: Sender, answer: Answer) -> Reply:
    async with receiver(answer) as up:
        return await sender.post(up.url, {"webhook-id": "evt_1"}, b"{}")


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299])
async def test_any_2xx_is_success(sender: Sender, code: int) -> None:
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
async def test_everything_else_is_not(sender: Sender, code: int, failure: Failure) -> None:
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
async def test_a_receiver_that_does_not_answer_well(
    sender: Sender, answer: Answer, failure: Failure
) -> None:
    began = time.monotonic()
    reply = await sent(sender, answer)
    assert reply.failure is failure
    assert reply.status_code is None
    assert time.monotonic() - began < TIMEOUT + 0.5


@pytest.mark.parametrize("answer", [drip_body, flood])
async def test_the_status_decides_however_the_body_goes_on(sender: Sender, answer: Answer) -> None:
    began = time.monotonic()
    reply = await sent(sender, answer)
    assert reply.accepted
    assert reply.length is not None
    assert reply.length <= 65_536
    assert len(reply.excerpt or b"") <= EXCERPT_BYTES
    assert time.monotonic() - began < TIMEOUT + 0.5


async def test_a_flood_is_not_waited_for() -> None:
    patient = Sender(GuardedTransport(allow_private=True))
    began = time.monotonic()
    assert (await sent(patient, flood)).length == 65_536
    assert time.monotonic() - began < 1
    await patient.close()


async def test_no_server_at_the_port(sender: Sender) -> None:
    async with receiver() as up:
        url = up.url
    assert (await sender.post(url, {}, b"{}")).failure is Failure.CONNECTION


async def test_a_name_without_an_address() -> None:
    async def no_address(host: str, port: int) -> Sequence[Address]:
        raise OSError

    backend = GuardedBackend(allow_private=False, resolver=no_address)
    async with GuardedTransport(allow_private=False, backend=backend) as transport:
        reply = await Sender(transport).post("https://unknown.example/", {}, b"{}")
    assert reply.failure is Failure.CONNECTION


@pytest.mark.parametrize("url", ["", "https://u:p@x/", "http://0x7f.1/", "not an address"])
async def test_an_address_that_the_guard_refuses(sender: Sender, url: str) -> None:
    assert (await sender.post(url, {}, b"{}")).failure is Failure.BLOCKED


async def test_the_answers_beginning_is_kept(sender: Sender) -> None:
    reply = await sent(sender, status(500, b"e" * 3000))
    assert reply.length == 3000
    assert reply.excerpt == b"e" * EXCERPT_BYTES


async def test_the_bytes_arrive_as_they_were_signed(sender: Sender) -> None:
    body = '{"name":"é \\u2028"}'.encode()
    async with receiver() as up:
        await sender.post(up.url, {"webhook-id": "evt_1"}, body)
    (request,) = up.requests
    assert request.body == body
    assert request.target == "/hook?token=in-the-query"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == "evt_1"


async def test_no_cookie_of_one_receiver_reaches_another_request(sender: Sender) -> None:
    async with receiver(status(200, Set_Cookie="a=b")) as up:
        for _ in range(2):
            await sender.post(up.url, {}, b"{}")
    assert all("cookie" not in request.headers for request in up.requests)


async def test_a_probe_asks_for_headers_only(sender: Sender) -> None:
    async with receiver(status(405)) as up:
        reply = await sender.probe(up.url)
    assert reply.status_code == 405
    assert up.requests[0].body == b""


async def test_the_retry_after_of_a_failed_answer_is_reported(sender: Sender) -> None:
    assert (await sent(sender, status(429, Retry_After="120"))).retry_after == 120
    assert (await sent(sender, status(200, Retry_After="120"))).retry_after is None
