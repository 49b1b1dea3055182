"""The bytes of a file, kept as a beginning, a repeated filling and an end.

So a file of 300 MB takes some kilobytes of memory, and equal arguments give equal bytes.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

BLOCK_BYTES: Final = 256 * 1024
_WHOLE_BYTES: Final = 1024 * 1024


@dataclass(frozen=True)
class Content:
    """A file: `head`, then `filling` repeated and cut to `filling_size` bytes, then `tail`."""

    media_type: str
    head: bytes
    filling: bytes = b" "
    filling_size: int = 0
    tail: bytes = b""

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.head) + self.filling_size + len(self.tail)

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal; a large file takes about a second the first time."""
        digest = hashlib.sha256()
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()

    def read(self) -> bytes:
        """The whole file; meant for small ones."""
        return b"".join(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """The file in order: in one piece up to 1 MiB, else in blocks of some 256 KiB."""
        if self.size <= _WHOLE_BYTES:
            repeats = self.filling_size // len(self.filling) + 1
            yield self.head + (self.filling * repeats)[: self.filling_size] + self.tail
            return
        yield self.head
        block = _block(self.filling)
        whole, rest = divmod(self.filling_size, len(block))
        for _ in range(whole):
            yield block
        yield block[:rest] + self.tail


@lru_cache(maxsize=16)
def _block(filling: bytes) -> bytes:
    return filling * (BLOCK_BYTES // len(filling))
