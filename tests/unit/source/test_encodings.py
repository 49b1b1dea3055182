"""Compressed bodies are decoded in small pieces; truncated and damaged ones are detected."""

import gzip
import zlib
from collections.abc import Iterable
from pathlib import Path

import pytest

from autos.contracts.reasons import Reason
from autos.source import Downloaded, Refused
from autos.source.replies.encodings import (
    PIECE_BYTES,
    BrokenStream,
    Compressed,
    UnknownCoding,
    decoder,
)
from tests.unit.source.clients import fetch
from tests.unit.source.server import always, reply

TEXT = b"%PDF-1.4 " + b"a line of a document\n" * 3000 + b"%%EOF\n"


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKED = {
    "gzip": gzip.compress(TEXT),
    "x-gzip": gzip.compress(TEXT[:700]) + gzip.compress(TEXT[700:]) + b"\0" * 512,
    "deflate": zlib.compress(TEXT),
    "Deflate": raw_deflate(TEXT),
}


def pieces(data: bytes, size: int) -> Iterable[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 2, 7, 100_000])
@pytest.mark.parametrize("coding", PACKED)
def test_complete_stream_is_read_in_pieces_of_any_size(coding: str, size: int) -> None:
    stream = decoder(coding)
    found = b"".join(out for data in pieces(PACKED[coding], size) for out in stream.decode(data))
    assert found == TEXT
    assert stream.whole


@pytest.mark.parametrize("coding", PACKED)
def test_truncated_stream_is_incomplete(coding: str) -> None:
    """(S7) Also between the members of a gzip stream."""
    packed = PACKED[coding].rstrip(b"\0")
    for length in range(1, len(packed) - 8, 31):
        stream = decoder(coding)
        try:
            for _ in stream.decode(packed[:length]):
                pass
        except BrokenStream:
            continue
        between_members = coding == "x-gzip" and length == len(gzip.compress(TEXT[:700]))
        assert not stream.whole or between_members


@pytest.mark.parametrize("data", [TEXT, gzip.compress(TEXT) + b"no gzip", b"\x1f\x8b" + TEXT])
def test_invalid_gzip_is_an_error(data: bytes) -> None:
    with pytest.raises(BrokenStream):
        list(decoder("gzip").decode(data))


def test_compression_bomb_is_decoded_in_small_pieces() -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    sizes = [len(piece) for piece in Compressed(gzip=True).decode(bomb)]
    assert sum(sizes) == 64 * 1024 * 1024
    assert max(sizes) <= PIECE_BYTES


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "compress", "ü"])
def test_unknown_encodings_are_an_error(coding: str) -> None:
    with pytest.raises(UnknownCoding):
        decoder(coding)


@pytest.mark.parametrize("coding", PACKED)
async def test_compressed_document_is_stored_decoded(coding: str, tmp_path: Path) -> None:
    script = always(reply(200, PACKED[coding], {"content-encoding": coding}))
    outcome = await fetch(script, tmp_path, len(TEXT))
    assert isinstance(outcome, Downloaded)
    with outcome:
        assert outcome.size == len(TEXT)


@pytest.mark.parametrize("cut", [20, 100, -1, -4, -8])
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_truncated_compressed_document_is_truncated(
    coding: str, cut: int, tmp_path: Path
) -> None:
    """(S7) The connection ends correctly after the declared length."""
    script = always(reply(200, PACKED[coding][:cut], {"content-encoding": coding}))
    assert await fetch(script, tmp_path) == Refused(Reason.TRUNCATED)


async def test_unsupported_encoding_of_a_reply_is_an_error(tmp_path: Path) -> None:
    """(S7) Bytes in an unknown encoding are no document."""
    script = always(reply(200, TEXT, {"content-encoding": "br"}))
    assert await fetch(script, tmp_path) == Refused(Reason.ERROR_BODY)
    empty = always(reply(200, b"", {"content-encoding": "gzip"}))
    assert await fetch(empty, tmp_path) == Refused(Reason.EMPTY)


async def test_compression_bomb_is_too_large(tmp_path: Path) -> None:
    bomb = always(reply(200, gzip.compress(bytes(8_000_000)), {"content-encoding": "gzip"}))
    outcome = await fetch(bomb, tmp_path, source_max_document_bytes=1_000_000)
    assert outcome == Refused(Reason.TOO_LARGE, final=True)
