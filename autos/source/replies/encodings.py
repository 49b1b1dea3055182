"""Decodes the content coding of a body, and reports whether the compressed stream is complete.

Requests accept plain bytes only, but a server in between may still compress
(docs/source.md#requests). A connection can close normally within a compressed stream, so the
stream's own end decides. Pieces are bounded, so that a small body cannot fill the memory.
"""

import zlib
from collections.abc import Iterator
from typing import Final

PIECE_BYTES: Final = 1024 * 1024

_GZIP: Final = zlib.MAX_WBITS | 16
_RAW_DEFLATE: Final = -zlib.MAX_WBITS
_WRAPPER_BYTES: Final = 2


class BrokenStream(ValueError):
    """The bytes are not what the content coding promises."""


class UnknownCoding(ValueError):
    """A content coding that was not requested and is not supported."""


class Plain:
    """No coding: every body counts as complete."""

    whole = True

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The bytes as they are."""
        yield data


class Compressed:
    """A gzip stream of one or more members, or a deflate stream with or without its wrapper."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._stream = zlib.decompressobj(_GZIP if gzip else zlib.MAX_WBITS)
        self._start = b""

    @property
    def whole(self) -> bool:
        """True at the stream's own end, and before its first byte: no body is an empty one."""
        return self._stream.eof or not self._start

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Decompress the next bytes of the body, in bounded pieces.

        Raises:
            BrokenStream: the bytes cannot be decompressed.
        """
        try:
            while data:
                if self._stream.eof and not self._begin_member(data):
                    return
                yield from self._decompress(data)
                data = self._stream.unused_data
        except zlib.error:
            raise BrokenStream("The compressed body is damaged.") from None

    def _begin_member(self, data: bytes) -> bool:
        """Begin the next member; zeros after the last one, and bytes after deflate, are ignored."""
        if not self._gzip or not data.strip(b"\0"):
            return False
        self._stream = zlib.decompressobj(_GZIP)
        return True

    def _decompress(self, data: bytes) -> Iterator[bytes]:
        before = self._start
        self._start += data[: _WRAPPER_BYTES - len(before)]
        try:
            piece = self._stream.decompress(data, PIECE_BYTES)
        except zlib.error:
            if self._gzip or len(before) == _WRAPPER_BYTES:
                raise
            # Some servers omit zlib's wrapper.
            self._stream = zlib.decompressobj(_RAW_DEFLATE)
            piece = self._stream.decompress(before + data, PIECE_BYTES)
        while piece:
            yield piece
            piece = self._stream.decompress(self._stream.unconsumed_tail, PIECE_BYTES)


def decoder(coding: str) -> Plain | Compressed:
    """The decoder of this `Content-Encoding`.

    Raises:
        UnknownCoding: neither gzip nor deflate, or several in a row.
    """
    match coding.strip().lower():
        case "" | "identity":
            return Plain()
        case "gzip" | "x-gzip":
            return Compressed(gzip=True)
        case "deflate":
            return Compressed(gzip=False)
    raise UnknownCoding("The body is compressed in an unsupported way.")
