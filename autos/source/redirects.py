"""Where the source's redirects may lead: its own host, and those that the settings name.

A redirect to a login means that the credential is refused. One that leads anywhere else is a named
reason and is never followed. The token goes to the source's own origin only.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from autos.contracts.states import Reason
from autos.source.replies import Refused

STATUSES: Final = frozenset({301, 302, 303, 307, 308})

_PORTS: Final = {"http": 80, "https": 443}
_LOGIN_HOST: Final = re.compile(r"(sso|login|auth|acesso)\.")
_LOGIN_PATH: Final = re.compile(r"/(login|logon|signin|sso|auth|oauth2?|saml2?|cas)(/|\.|$)")
_PRINTABLE: Final = re.compile(r"[!-~]{1,8192}")


@dataclass(frozen=True, slots=True)
class Target:
    """Where to ask instead."""

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
        names = (name.strip().lower() for name in hosts.split(","))
        self._hosts = {_named(name, self._base.scheme) for name in names if name}

    def target(self, asked: str, location: str) -> Target | Refused:
        """Where a redirect leads, or why it is not followed.

        Args:
            asked: the address that was asked.
            location: the header's value, whatever the source has put there.
        """
        if not _PRINTABLE.fullmatch(location):
            return Refused(Reason.REDIRECTED)
        try:
            parts = urlsplit(urljoin(asked, location))
            host = parts.hostname, parts.port or _PORTS.get(parts.scheme)
        except ValueError:
            return Refused(Reason.REDIRECTED)
        if _is_login(parts):
            return Refused(Reason.CREDENTIAL)
        own = host == (self._base.hostname, self._base.port or _PORTS.get(self._base.scheme))
        safe = parts.scheme in ("https", self._base.scheme) and "@" not in parts.netloc
        # The source's own origin is its scheme, too.
        own = own and parts.scheme == self._base.scheme
        if not safe or not (own or host in self._hosts):
            return Refused(Reason.REDIRECTED)
        return Target(parts._replace(fragment="").geturl(), own)


def _named(name: str, scheme: str) -> tuple[str | None, int | None]:
    parts = urlsplit(f"{scheme}://{name}")
    return parts.hostname, parts.port or _PORTS.get(scheme)


def _is_login(parts: SplitResult) -> bool:
    return bool(
        _LOGIN_HOST.match(parts.hostname or "")
        or _LOGIN_PATH.search(parts.path.lower())
        or "openid-connect" in parts.path
    )
