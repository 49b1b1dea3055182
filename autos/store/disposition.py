"""The `Content-Disposition` of a link (RFC 6266, RFC 8187): any name, intact and harmless."""

import re
import unicodedata
from typing import Final
from urllib.parse import quote

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of Unicode that nobody sees: controls, marks of direction, surrogates, line ends."""
_NOT_PLAIN: Final = re.compile(r"[^ !#$&+,\-.0-9;=@A-Z\[\]^_`a-z{}~()\']")
_UNQUOTED: Final = "!#$&+-.^_`|~"
"""What RFC 8187 leaves unescaped, besides letters and digits (`attr-char`)."""
_PLAIN_CHARACTERS: Final = 150
_EXTENSION_CHARACTERS: Final = 10
_WHOLE_BYTES: Final = 1000
"""Longer names are cut: a link escapes them twice, and stores bound an address's length."""


def attachment(filename: str) -> str:
    """The header value that makes a browser save the file under this name.

    `filename*` carries the whole name (up to 1,000 bytes of UTF-8), accents, slashes and quotes
    included. What nobody sees is taken out: no header may hold controls and lone surrogates, and a
    mark of direction makes `fdp.exe` look like `exe.pdf`.
    `filename` is a plain ASCII form for clients of old, shortened, with its extension kept.
    """
    shown = "".join(one for one in filename if unicodedata.category(one) not in _HIDDEN)
    name = shown.encode()[:_WHOLE_BYTES].decode("utf-8", "ignore").strip()
    name = name or "documento"
    return f"attachment; filename=\"{_plain(name)}\"; filename*=UTF-8''{quote(name, _UNQUOTED)}"


def _plain(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
    plain = _NOT_PLAIN.sub("_", decomposed)
    stem, dot, extension = plain.rpartition(".")
    if not dot or not extension.isalnum() or len(extension) > _EXTENSION_CHARACTERS:
        stem, extension = plain, ""
    stem = stem[: _PLAIN_CHARACTERS - len(extension)].strip(" .") or "documento"
    return f"{stem}.{extension}" if extension else stem
