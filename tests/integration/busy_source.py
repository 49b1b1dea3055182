"""A source that counts the requests in flight, and workers that keep it busy under permits."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from autos.records.database import Database
from autos.records.permits import DatabasePermits
from autos.settings import Settings


class BusySource:
    """Ends each request after `seconds`; counts the requests in flight."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.in_flight = 0
        self.most = 0
        self.served = 0
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["BusySource"]:
        """Listen for the duration of the block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.in_flight += 1
        try:
            # The end of a killed worker's request may be read in the same iteration of the loop.
            await asyncio.sleep(0.01)
            self.most = max(self.most, self.in_flight)
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(self._seconds):
                    await reader.read()
        finally:
            self.in_flight -= 1
            self.served += 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def keep_busy(permits: DatabasePermits, port: int, lanes: int) -> None:
    """Send requests to the source in `lanes` concurrent loops, each under a permit."""

    async def lane() -> None:
        while True:
            async with permits.permit():
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    with contextlib.suppress(OSError):
                        await reader.read()
                finally:
                    writer.close()
                    with contextlib.suppress(OSError):
                        await writer.wait_closed()

    async with asyncio.TaskGroup() as group:
        for _ in range(lanes):
            group.create_task(lane())


async def main(database_url: str, most: int, port: int, lanes: int) -> None:
    """A worker process that only sends requests, to be killed."""
    permits = DatabasePermits(Database.open(Settings(database_url=database_url)), most)
    await keep_busy(permits, port, lanes)


if __name__ == "__main__":
    url, *numbers = sys.argv[1:]
    asyncio.run(main(url, *map(int, numbers)))
