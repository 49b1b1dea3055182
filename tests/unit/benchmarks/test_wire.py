"""The minimal HTTP of the benchmarks against itself."""

import asyncio
import json

import pytest

from benchmarks.wire import HOST, Connection, Receiver

PATIENCE = 30


async def test_a_callback_resolves_the_future_of_its_case() -> None:
    async with Receiver() as receiver, asyncio.timeout(PATIENCE):
        expected = receiver.expect(["1", "2"])
        port = int(receiver.url("1").split(":")[2].split("/")[0])
        async with Connection(port, "key") as connection:
            for number in ("2", "1", "1"):
                answer = await connection.request("POST", f"/{number}", {"number": number})
                assert answer.status == 200
        assert json.loads((await expected["1"]).body) == {"number": "1"}
        assert (await expected["2"]).at <= (await expected["1"]).at


async def test_a_connection_that_breaks_is_an_error() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, HOST, 0)
    async with server, asyncio.timeout(PATIENCE):
        port = server.sockets[0].getsockname()[1]
        async with Connection(port, "key") as connection:
            with pytest.raises(asyncio.IncompleteReadError):
                await connection.request("GET", "/")
