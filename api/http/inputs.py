"""What clients may send: bodies with exactly the members and types described, and moments.

FastAPI alone takes `0` for false and any number for a time, which no description of an API says.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict

_MOMENT: Final = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)


def moment(text: object) -> datetime:
    """The moment of an RFC 3339 text, in UTC.

    Raises:
        ValueError: it is no such text, or is outside the years 1 to 9999 once in UTC.
    """
    if not isinstance(text, str) or not _MOMENT.fullmatch(text):
        raise ValueError("give a date and time with its zone, such as 2026-01-31T12:00:00Z")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError("the moment is outside the calendar") from None


Timestamp: TypeAlias = Annotated[datetime, BeforeValidator(moment)]


def _whole(number: object) -> object:
    # JSON knows one kind of numbers: 1.0 is an integer.
    return int(number) if isinstance(number, float) and number.is_integer() else number


Whole: TypeAlias = Annotated[int, BeforeValidator(_whole)]


class RequestBody(BaseModel):
    """Base of request bodies: unknown members are refused, and no type stands in for another."""

    model_config = ConfigDict(extra="forbid", strict=True)
