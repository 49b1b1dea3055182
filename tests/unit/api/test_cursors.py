"""Cursors: encoding, decoding, and rejection of anything else."""

import contextlib
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http import pagination
from api.problems import INVALID_CURSOR, Problem

NOW = datetime(2026, 11, 24, 3, 30, 1, 123456, tzinfo=UTC)


def test_cursor_round_trip() -> None:
    identity = uuid.uuid4()
    assert pagination.position(pagination.encode(1000)) == 1000
    assert pagination.time_and_text(pagination.encode(NOW, "x/y+z")) == (NOW, "x/y+z")
    assert pagination.time_and_id(pagination.encode(NOW, identity)) == (NOW, identity)


def test_missing_cursor_starts_at_the_beginning() -> None:
    assert pagination.position(None) == 0
    assert pagination.time_and_text(None) is None
    assert pagination.time_and_id(None) is None


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!",
        "é",
        pagination.encode("x"),
        pagination.encode(-1),
        pagination.encode(2**31),
        pagination.encode("٣"),
        pagination.encode(1, 2),
        pagination.encode("2026-11-24T03:30:01", uuid.UUID(int=0)),
        pagination.encode(NOW, "zero\x00byte"),
        pagination.encode(NOW, 7),
    ],
)
def test_invalid_cursor_is_rejected(cursor: str) -> None:
    refused = []
    for read in (pagination.position, pagination.time_and_id):
        with pytest.raises(Problem) as caught:
            read(cursor)
        refused.append(caught.value.kind)
    assert refused == [INVALID_CURSOR, INVALID_CURSOR]


@given(st.text(max_size=60))
def test_any_text_is_decoded_or_rejected(text: str) -> None:
    for read in (pagination.position, pagination.time_and_text, pagination.time_and_id):
        with contextlib.suppress(Problem):
            read(text)


def test_extra_row_indicates_a_next_page() -> None:
    assert pagination.cut([1, 2, 3], 2, lambda row: (row,)) == ([1, 2], pagination.encode(2))
    assert pagination.cut([1, 2], 2, lambda row: (row,)) == ([1, 2], None)
