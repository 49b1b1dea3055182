"""Tells an outage of PostgreSQL from a defect of a statement."""

from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

_OUTAGE_CLASSES: Final = ("08", "53", "57")
"""SQLSTATE classes: connection lost, resources used up, stopped by an operator or a time limit."""


def is_outage(error: BaseException) -> bool:
    """True if the database is away or silent, so that the same call may work later."""
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None) or ""
        return error.connection_invalidated or state.startswith(_OUTAGE_CLASSES)
    # The driver connects outside of SQLAlchemy's own errors.
    return isinstance(error, PoolTimeout | ConnectionError | TimeoutError)
