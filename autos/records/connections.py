"""How this service connects to PostgreSQL: by an address as libpq takes it, never without a bound.

The driver reads the address (`sslmode`, `sslrootcert`, several hosts, `passfile`, ...); what it
does not know goes to the server as a setting of the session (`application_name`, `options`). The
server checks by TCP keepalive whether we are still there, so that the locks of a machine that was
cut off become free within half a minute.

Not promised: parameters of libpq that only tune its sockets (`_NOT_OURS`) have no effect.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
import structlog
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from autos.records.errors import DatabaseUnreachable
from autos.settings import Settings

log = structlog.get_logger(__name__)

NAME: Final = "autos"
"""By which the server's list of sessions shows who is connected."""
_SCHEMES: Final = ("postgresql", "postgres", "postgresql+asyncpg")
_NOT_OURS: Final = frozenset(
    {
        "channel_binding",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "sslcompression",
        "sslsni",
        "tcp_user_timeout",
    }
)
_KEEPALIVE: Final = {
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30000",
}


class InvalidAddress(ValueError):
    """The text is not an address of a PostgreSQL database."""


@dataclass(frozen=True, slots=True)
class Server:
    """An address of PostgreSQL, and how long its answers are waited for."""

    dsn: str
    connect_timeout: float
    """Seconds."""
    command_timeout: float | None
    """Seconds for one statement; None leaves it open."""
    session: Mapping[str, str]
    """Settings of every session."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The server of `AUTOS_DATABASE_URL` with the times of the settings.

        Raises:
            InvalidAddress: the setting is not an address.
        """
        idle = round(settings.database_idle_timeout * 1000)
        return cls.at(
            settings.database_url,
            connect_timeout=settings.database_connect_timeout,
            command_timeout=settings.database_command_timeout,
            session={"idle_in_transaction_session_timeout": str(idle)},
        )

    @classmethod
    def at(
        cls,
        url: str,
        *,
        connect_timeout: float = 10.0,
        command_timeout: float | None = None,
        session: Mapping[str, str] | None = None,
    ) -> Self:
        """The server at an address; what the address says goes before the arguments.

        Raises:
            InvalidAddress: the text is not an address.
        """
        try:
            # An address has no fragment, so a password may have this character as it is.
            scheme, place, path, query, _ = urlsplit(url.replace("#", "%23"))
            given = dict(parse_qsl(query, strict_parsing=True) if query else [])
            connect_timeout = float(given.pop("connect_timeout", 0)) or connect_timeout
        except ValueError as error:
            raise InvalidAddress("The address cannot be read") from error
        if scheme not in _SCHEMES:
            raise InvalidAddress("The address does not begin with postgresql://")
        if ignored := sorted(given.keys() & _NOT_OURS):
            log.warning("database_url_parameters_ignored", parameters=ignored)
        known = {name: value for name, value in given.items() if name not in _NOT_OURS}
        ours = {"application_name": NAME, **_KEEPALIVE, **(session or {})}
        return cls(
            dsn=urlunsplit(("postgresql", place, path, urlencode(known), "")),
            connect_timeout=connect_timeout,
            command_timeout=command_timeout,
            session={name: value for name, value in ours.items() if name not in known},
        )

    async def connect(
        self, *, name: str = NAME, command_timeout: float | None = None
    ) -> asyncpg.Connection:
        """Open one connection.

        Args:
            name: what the server calls it, unless the address has a name.
            command_timeout: in place of the server's own, in seconds.

        Raises:
            DatabaseUnreachable: there is no server, it does not answer, or TLS fails.
            asyncpg.PostgresError: the server does not let us in.
        """
        session = dict(self.session)
        if "application_name" in session:
            session["application_name"] = name
        try:
            return await asyncpg.connect(
                self.dsn,
                timeout=self.connect_timeout,
                command_timeout=command_timeout or self.command_timeout,
                server_settings=session,
            )
        except (
            OSError,
            TimeoutError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
        ) as error:
            raise DatabaseUnreachable(
                f"No connection to PostgreSQL could be made ({type(error).__name__})"
            ) from error

    def engine(self, **pool: Any) -> AsyncEngine:
        """An engine whose connections are made by `connect`; `pool` is SQLAlchemy's."""
        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self.connect,
            # Webhook addresses and names are parameters; no error may carry them into a log.
            hide_parameters=True,
            **pool,
        )
        event.listen(engine.sync_engine, "handle_error", _unanswered)
        event.listen(engine.sync_engine, "checkout", _still_open)
        return engine


def _unanswered(context: ExceptionContext) -> Exception | None:
    """A statement that was not answered in time: its connection is given up."""
    error = context.original_exception
    if not isinstance(error, OSError | TimeoutError):
        return None
    context.is_disconnect = True
    return DatabaseUnreachable(f"PostgreSQL did not answer ({type(error).__name__})")


def _still_open(connection: Any, *_: object) -> None:
    """Have a connection replaced that the server has closed while nobody used it."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError
