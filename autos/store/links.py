"""Links that open a document in a browser: minted when they are read, never stored (DESIGN §7).

A status of 1,000 documents is asked for again and again (failure F44): a link is minted once in
five minutes and handed out again meanwhile, with a life that is longer by as much. It is signed as
of the beginning of those minutes, so that every process mints the same one.
"""

from collections.abc import Callable
from typing import Final

from autos.store.disposition import attachment
from autos.store.signing import LONGEST_LINK_SECONDS, Signer

SPAN_SECONDS: Final = 300
_MOST_HELD: Final = 20_000


class Links:
    """Mints links of one bucket.

    Args:
        signer: for the endpoint that clients reach.
        seconds: how long a link opens, at least; at most 7 days.
        now: seconds since the epoch.
    """

    def __init__(self, signer: Signer, seconds: int, now: Callable[[], float]) -> None:
        self._signer = signer
        self._seconds = seconds
        self._now = now
        self._span = 0
        self._held: dict[tuple[str, str, str], str] = {}

    def link(self, key: str, filename: str, content_type: str) -> str:
        """The address of an object, with the name and the type a browser is to see."""
        longest = self._seconds + SPAN_SECONDS
        if longest > LONGEST_LINK_SECONDS:
            # There is no life left to add: each link is minted anew.
            return self._mint(key, filename, content_type, self._seconds, self._now())
        span = int(self._now() // SPAN_SECONDS)
        if span != self._span or len(self._held) >= _MOST_HELD:
            self._held = {}
            self._span = span
        wanted = (key, filename, content_type)
        if (link := self._held.get(wanted)) is None:
            begun = float(span * SPAN_SECONDS)
            link = self._held[wanted] = self._mint(key, filename, content_type, longest, begun)
        return link

    def _mint(self, key: str, filename: str, content_type: str, seconds: int, at: float) -> str:
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
