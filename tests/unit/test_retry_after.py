"""`Retry-After` as a number and as a date."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from autos.retry_after import parse_retry_after


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("1.5", 1.5),
        ("9" * 18, 1e18),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("9e999", None),
        ("9" * 5000, None),
        ("1 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 0000 00:00:00 GMT", 0),
        ("Wed, 21 Oct 2015 07:28:00 +99999999999999999999", None),
        ("٣", None),
    ],
)
def test_value_is_parsed(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value) == seconds


def test_date_is_parsed() -> None:
    later = datetime.now(UTC) + timedelta(minutes=10)
    seconds = parse_retry_after(format_datetime(later, usegmt=True))
    assert seconds is not None
    assert 590 < seconds <= 600
