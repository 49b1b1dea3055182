"""Presigned URLs that open an object in a browser: made when they are read, never stored.

A link is reused for five minutes, because clients poll the status of cases with many documents. It
is signed as of the start of those minutes and is valid for five minutes longer, so that every
process makes the same link.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from autos.store.signing import MAX_LINK_SECONDS, UrlSigner

REUSE_SECONDS: Final = 300
_MAX_CACHED: Final = 20_000

_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of controls, direction marks, surrogates and line ends."""
_NOT_PLAIN: Final = re.compile(r"[^ !#$&+,\-.0-9;=@A-Z\[\]^_`a-z{}~()\']")
_UNQUOTED: Final = "!#$&+-.^_`|~"
"""Characters that RFC 8187 leaves unescaped besides letters and digits (`attr-char`)."""
_PLAIN_CHARACTERS: Final = 150
_EXTENSION_CHARACTERS: Final = 10
_NAME_BYTES: Final = 1000
"""Longer names are cut: a link escapes them twice, and stores limit the length of a URL."""


class LinkCache:
    """Makes links to the objects of one bucket.

    Args:
        signer: for the endpoint that clients reach.
        seconds: minimum validity of a link; at most 7 days.
        now: seconds since the epoch.
    """

    def __init__(self, signer: UrlSigner, seconds: int, now: Callable[[], float]) -> None:
        self._signer = signer
        self._seconds = seconds
        self._now = now
        self._period = 0
        self._links: dict[tuple[str, str, str], str] = {}

    def link(self, key: str, filename: str, content_type: str) -> str:
        """The URL of an object, with the name and the type that a browser shows."""
        seconds = self._seconds + REUSE_SECONDS
        if seconds > MAX_LINK_SECONDS:
            # A reused link would expire too early, and a longer validity is not allowed.
            return self._sign(key, filename, content_type, self._seconds, self._now())
        period = int(self._now() // REUSE_SECONDS)
        if period != self._period or len(self._links) >= _MAX_CACHED:
            self._links = {}
            self._period = period
        wanted = (key, filename, content_type)
        if (link := self._links.get(wanted)) is None:
            start = float(period * REUSE_SECONDS)
            link = self._links[wanted] = self._sign(key, filename, content_type, seconds, start)
        return link

    def _sign(self, key: str, filename: str, content_type: str, seconds: int, at: float) -> str:
        return self._signer.url(
            "GET",
            key,
            seconds,
            at,
            query={
                "response-content-disposition": attachment(filename),
                "response-content-type": content_type,
            },
        )


def attachment(filename: str) -> str:
    """The `Content-Disposition` that makes a browser save the file under this name (RFC 6266).

    `filename*` (RFC 8187) carries the whole name, up to 1,000 bytes of UTF-8. Invisible characters
    are removed: headers may not contain controls, and a direction mark makes `fdp.exe` look like
    `exe.pdf`. `filename` is a shortened ASCII form for old clients; it keeps the extension.
    """
    visible = "".join(one for one in filename if unicodedata.category(one) not in _INVISIBLE)
    name = visible.encode()[:_NAME_BYTES].decode("utf-8", "ignore").strip()
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
