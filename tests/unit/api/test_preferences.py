"""Parsing of `Prefer` and `If-None-Match`."""

import pytest

from api.http.parameters import matches, wait_seconds


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("respond-async", None),
        ("wait=10", 10),
        ("respond-async, wait=10", 10),
        ("Wait = 5", 5),
        ('wait="7"', 7),
        ("wait=0", 0),
        ("wait=9999", 60),
        ("wait=soon", None),
        ("await=5", None),
    ],
)
def test_prefer_wait_is_parsed(header: str | None, seconds: int | None) -> None:
    assert wait_seconds(header) == seconds


@pytest.mark.parametrize(
    ("header", "held"),
    [
        (None, False),
        ('W/"a"', True),
        ('"a"', True),
        ('"b", W/"a"', True),
        ("*", True),
        ('W/"b"', False),
        ("a", False),
    ],
)
def test_if_none_match_is_compared(header: str | None, held: bool) -> None:
    assert matches(header, 'W/"a"') is held
