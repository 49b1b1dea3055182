"""Pagination by cursors, which are opaque to clients (AIP-158)."""

import base64
import binascii
import json
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from api.problems import INVALID_CURSOR, Problem
from api.schemas import timestamp

Item = TypeVar("Item")

_MAX_POSITION = 2**31 - 1


def encode(*parts: object) -> str:
    """A cursor from the sort key of the row at the edge of a page."""
    text = json.dumps([str(part) for part in parts], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def cut(
    rows: Sequence[Item], limit: int, key: Callable[[Item], tuple[object, ...]]
) -> tuple[Sequence[Item], str | None]:
    """Cut rows to a page and make the cursor of the next one.

    Args:
        rows: at most `limit + 1` rows; the one too many shows that there is a next page.
        limit: rows of the page.
        key: the sort key of a row, which the next page begins after.

    Returns:
        The rows of the page, and the cursor of the next page; None on the last one.
    """
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], encode(*key(rows[limit - 1]))


def time_and_text(cursor: str | None) -> tuple[datetime, str] | None:
    """The cursor of a list sorted by time and text."""
    if cursor is None:
        return None
    time, text = _decode(cursor, 2)
    return _time(time), text


def time_and_id(cursor: str | None) -> tuple[datetime, uuid.UUID] | None:
    """The cursor of a list sorted by time and id."""
    if cursor is None:
        return None
    time, identity = _decode(cursor, 2)
    try:
        return _time(time), uuid.UUID(identity)
    except ValueError as error:
        raise Problem(INVALID_CURSOR) from error


def position(cursor: str | None) -> int:
    """The cursor of a list sorted by position; 0 without one."""
    if cursor is None:
        return 0
    (text,) = _decode(cursor, 1)
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= _MAX_POSITION):
        raise Problem(INVALID_CURSOR)
    return int(text)


def _decode(cursor: str, count: int) -> list[str]:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        parts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        raise Problem(INVALID_CURSOR) from error
    if (
        not isinstance(parts, list)
        or len(parts) != count
        or not all(isinstance(part, str) and part.isprintable() for part in parts)
    ):
        raise Problem(INVALID_CURSOR)
    return parts


def _time(text: str) -> datetime:
    try:
        return timestamp(text)
    except ValueError as error:
        raise Problem(INVALID_CURSOR) from error
