"""The stack of the drills: its database connections can be cut and its folders filled.

Worker and API each reach PostgreSQL through a proxy of the drills. If this process may mount file
systems, spool and store are on small ones. Otherwise they cannot be filled, and the rounds that
would fill them have no effect.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from autos.records.database import Server
from cli.stack import Stack
from tests.drills.harms import DatabaseLine, Harms, Room, can_mount
from tests.e2e.conftest import FAST

BOUND: Final = 8
"""Concurrent requests to the source: fewer than two jobs make, so the limit is reached."""
_ENVIRONMENT: Final = FAST | {
    "AUTOS_SOURCE_MAX_IN_FLIGHT": str(BOUND),
    "AUTOS_SOURCE_IDLE_TIMEOUT": "20",
    "AUTOS_DATABASE_CONNECT_TIMEOUT": "3",
    "AUTOS_DATABASE_COMMAND_TIMEOUT": "8",
}
_FOLDERS: Final = {"spool": "spool", "bucket": "objects"}


@dataclass(frozen=True, slots=True)
class Arena:
    """A running stack and its harms."""

    stack: Stack
    harms: Harms


@asynccontextmanager
async def open_arena(workers: int) -> AsyncIterator[Arena]:
    """Start the stack in a temporary folder and remove everything at the end."""
    async with AsyncExitStack() as opened:
        folder = Path(opened.enter_context(TemporaryDirectory()))
        lines = {"worker": DatabaseLine(), "api": DatabaseLine()}
        ports: dict[str, int] = {}
        for name, line in lines.items():
            ports[name] = await line.listen()
            opened.push_async_callback(line.close)
        rooms: dict[str, Room] = {}
        if can_mount():
            for name, below in _FOLDERS.items():
                rooms[name] = Room(folder / below)
                rooms[name].make()
                opened.callback(rooms[name].remove)

        def through_its_line(part: str, environment: Mapping[str, str]) -> Mapping[str, str]:
            url = make_url(environment["AUTOS_DATABASE_URL"])
            lines[part].lead_to(url.port or 0)
            through = url.set(port=ports[part]).render_as_string(hide_password=False)
            return {**environment, "AUTOS_DATABASE_URL": through}

        stack = await opened.enter_async_context(
            Stack(
                folder,
                ports="free",
                workers=workers,
                extra_environment=_ENVIRONMENT,
                environment_of=through_its_line,
            )
        )
        direct = Server.at(stack.settings_environment()["AUTOS_DATABASE_URL"])
        database = direct.engine(poolclass=NullPool)
        opened.push_async_callback(database.dispose)
        yield Arena(stack, Harms(stack, database, lines["worker"], lines["api"], rooms))
