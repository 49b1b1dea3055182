"""The bases of request bodies and answers, and the types that several of them use.

The bodies and answers themselves are in the `schemas.py` of each noun. They are plain pydantic
models without FastAPI, because the CLI reads them, too. Members are only ever added, so clients
must ignore new ones. The examples are synthetic: the case and the documents are the sandbox's.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from autos.cnj import CaseNumber

NUMBER: Final = "9990002-86.2024.8.26.0100"
JOB_ID: Final = "019aa6f2-3c51-7d0e-8a55-0f6f3f0e9a11"
CASE_PATH: Final = "/api/v1/processes/99900028620248260100"

_TIMESTAMP: Final = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)


def timestamp(text: object) -> datetime:
    """The time of an RFC 3339 text, in UTC.

    Raises:
        ValueError: it is no such text, or is outside the years 1 to 9999 once in UTC.
    """
    if not isinstance(text, str) or not _TIMESTAMP.fullmatch(text):
        raise ValueError("give a date and time with its zone, such as 2026-01-31T12:00:00Z")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is outside the calendar") from None


def _whole(number: object) -> object:
    # JSON has one kind of numbers: 1.0 is an integer.
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _mask(number: object) -> object:
    bare = isinstance(number, str) and len(number) == 20 and number.isdecimal()
    return CaseNumber(str(number)).masked if bare else number


Timestamp: TypeAlias = Annotated[datetime, BeforeValidator(timestamp)]
Whole: TypeAlias = Annotated[int, BeforeValidator(_whole)]
masked: Final = BeforeValidator(_mask)
"""Writes a case number with punctuation, whichever way it is given."""
MaskedNumber: TypeAlias = Annotated[str, masked, Field(examples=[NUMBER])]


class RequestBody(BaseModel):
    """Base of request bodies: unknown members are refused, and types are not converted.

    FastAPI alone takes `0` for false and any number for a time, which the description of an API
    does not say.
    """

    model_config = ConfigDict(extra="forbid", strict=True)


class Answer(BaseModel):
    """Base of answers."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def of(cls, row: object, **members: object) -> Self:
        """The answer about a row of the records or another object.

        Args:
            row: has an attribute for every member that is not given.
            members: what the row does not have, or has in another form.
        """
        for name in cls.model_fields.keys() - members.keys():
            members[name] = getattr(row, name)
        return cls.model_validate(members, from_attributes=True)


class Page(Answer):
    """Base of lists: `next` is the `cursor` of the next page, null on the last one."""

    next: str | None = None


Example: TypeAlias = dict[str, Any]


def shown(example: Example) -> ConfigDict:
    """The model configuration that gives a schema a whole example."""
    return ConfigDict(json_schema_extra={"examples": [example]})
