"""Takes the content coding off a body, and knows whether the compressed stream came to its end.

The source is asked for plain bytes; a server between it and us may compress all the same. A
connection can end in good order with the compressed stream cut, so the end that counts is the
stream's own. Pieces are bounded, so that a small body cannot fill the memory at once.
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
    """A content coding that was not asked for and is not understood."""


class Plain:
    """No coding: every end is the end."""

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
        """What the next bytes of the body unpack to, in bounded pieces.

        Raises:
            BrokenStream: they do not unpack.
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
        """Go on with the next member; zeros after the last one, and rests of deflate, are void."""
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
            # Some servers leave the wrapper of zlib away.
            self._stream = zlib.decompressobj(_RAW_DEFLATE)
            piece = self._stream.decompress(before + data, PIECE_BYTES)
        while piece:
            yield piece
            piece = self._stream.decompress(self._stream.unconsumed_tail, PIECE_BYTES)


def decoder(coding: str) -> Plain | Compressed:
    """What takes this `Content-Encoding` off.

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
    raise UnknownCoding("The body is compressed in a way that was not asked for.")
