"""Converts an href or an id of a listing into the address of a document (docs/source.md#addresses).

Requests go to the source's own host only, and there only to documents of the same process. An
address is kept as a path (`/api/v2/processos/…`), so a stored one cannot lead to another host.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from autos.cnj import CaseNumber
from autos.contracts.reasons import Reason

_PATH: Final = re.compile(
    r"(?:/api/v2)?/processos/(?P<number>[0-9.-]{20,25})"
    r"/documentos/(?P<document>[0-9A-Za-z-]{1,64})/(?P<form>binario|texto)",
    re.ASCII,
)
_PORTS: Final = {"http": 80, "https": 443}


class UnusableAddress(ValueError):
    """An href that is never requested; `reason` is FOREIGN_HOST or NO_ADDRESS."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Address:
    """The file or the text of one document: a path on the source's host."""

    path: str
    document: str
    """The document's id at the source, a UUID, in lower case."""


@dataclass(frozen=True, slots=True)
class CaseAddresses:
    """Reads the addresses of one case's documents.

    Args:
        case: the only case whose documents have an address here.
        base_url: the source, scheme and host (and port).
    """

    case: CaseNumber
    base_url: str

    def from_href(self, href: str) -> Address:
        """Read an href: relative, with or without `/api/v2`, or absolute on the source's own host.

        Raises:
            UnusableAddress: FOREIGN_HOST for another scheme, host or port or a user in the URL;
                NO_ADDRESS for a path that is not a document of this case.
        """
        try:
            parts = urlsplit(href.strip())
            own = not (parts.scheme or parts.netloc) or (
                _origin(parts) == _origin(urlsplit(self.base_url))
            )
        except ValueError:
            raise UnusableAddress(Reason.NO_ADDRESS) from None
        if not own or "@" in parts.netloc or "\\" in href:
            raise UnusableAddress(Reason.FOREIGN_HOST)
        return self.from_path(parts.path)

    def from_path(self, path: str) -> Address:
        """Read a path; stored ones are checked by this before they are requested.

        Raises:
            UnusableAddress: NO_ADDRESS, if it is not the path of a document of this case.
        """
        match = _PATH.fullmatch(path)
        if match is None or not self.case.is_written(match["number"]):
            raise UnusableAddress(Reason.NO_ADDRESS)
        document = match["document"]
        full = f"/api/v2/processos/{match['number']}/documentos/{document}/{match['form']}"
        return Address(full, document.lower())

    def file_of(self, document: str) -> Address:
        """The address of the file of the document with this UUID, where no href is listed."""
        return self.from_path(f"/processos/{self.case.masked}/documentos/{document}/binario")


def is_text(path: str) -> bool:
    """True for the address of the text taken out of a document (docs/source.md#text)."""
    return path.endswith("/texto")


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
