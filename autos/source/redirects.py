"""Decides which redirects are followed: to the source's own host, and to those in the settings.

`autos.source.replies.judge` interprets all others. The token is sent to the source's own origin
only.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

from autos.source.replies.judge import is_login

STATUSES: Final = frozenset({301, 302, 303, 307, 308})

_PORTS: Final = {"http": 80, "https": 443}
_PRINTABLE: Final = re.compile(r"[!-~]{1,8192}")


@dataclass(frozen=True, slots=True)
class Target:
    """The address that a redirect leads to."""

    url: str
    own: bool
    """On the source's own origin, where the token may go."""


class Redirects:
    """Reads `Location` headers.

    Args:
        base_url: the source's scheme and host (and port).
        hosts: names of further hosts, each with its port where that is not the scheme's own,
            separated by commas.
    """

    def __init__(self, base_url: str, hosts: str) -> None:
        self._base = urlsplit(base_url)
        self._own = self._base.hostname, self._base.port or _PORTS.get(self._base.scheme)
        names = (name.strip().lower() for name in hosts.split(","))
        self._hosts = {_named(name, self._base.scheme) for name in names if name}

    def target(self, requested: str, location: str) -> Target | None:
        """The address to request next; None if the redirect is not followed.

        Args:
            requested: the address that redirects.
            location: the header's value, unchecked.
        """
        if not _PRINTABLE.fullmatch(location):
            return None
        try:
            parts = urlsplit(urljoin(requested, location))
            host = parts.hostname, parts.port or _PORTS.get(parts.scheme)
        except ValueError:
            return None
        if "@" in parts.netloc or is_login(parts.geturl()):
            return None
        url = parts._replace(fragment="").geturl()
        if parts.scheme == self._base.scheme and host == self._own:
            return Target(url, own=True)
        if parts.scheme in ("https", self._base.scheme) and host in self._hosts:
            return Target(url, own=False)
        return None


def _named(name: str, scheme: str) -> tuple[str | None, int | None]:
    parts = urlsplit(f"{scheme}://{name}")
    return parts.hostname, parts.port or _PORTS.get(scheme)
