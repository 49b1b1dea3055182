"""Converts an href or an id of a listing into the address of a document (docs/source.md#addresses).

Requests go to the source's own host only, and there only to documents of the same process. An
address is kept as a path (`/api/v2/processos/…`), so a stored one cannot lead to another host.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from autos.cnj import CaseNumber, InvalidCaseNumber
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
    number: CaseNumber


def read_href(href: str, number: CaseNumber, base_url: str) -> Address:
    """Read an href.

    Args:
        href: relative, with or without `/api/v2`, or absolute on the source's own host.
        number: the process whose listing it was found in.
        base_url: the source, scheme and host (and port).

    Raises:
        UnusableAddress: FOREIGN_HOST for another scheme, host or port or a user in the URL;
            NO_ADDRESS for a path that is not a document of this process.
    """
    try:
        parts = urlsplit(href.strip())
        own = not (parts.scheme or parts.netloc) or _origin(parts) == _origin(urlsplit(base_url))
    except ValueError:
        raise UnusableAddress(Reason.NO_ADDRESS) from None
    if not own or "@" in parts.netloc or "\\" in href:
        raise UnusableAddress(Reason.FOREIGN_HOST)
    address = read_path(parts.path)
    if address.number != number:
        raise UnusableAddress(Reason.NO_ADDRESS)
    return address


def file_of(document: str, number: CaseNumber) -> Address:
    """The address of a document's file where no href is listed.

    Args:
        document: the document's UUID.
        number: the process whose listing it was found in.
    """
    return read_path(f"/processos/{number.masked}/documentos/{document}/binario")


def is_text(path: str) -> bool:
    """True for the address of the text taken out of a document (docs/source.md#text)."""
    return path.endswith("/texto")


def read_path(path: str) -> Address:
    """Read a path; stored ones are checked by this before they are requested.

    Raises:
        UnusableAddress: NO_ADDRESS, if it is not the path of a document.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise UnusableAddress(Reason.NO_ADDRESS)
    try:
        number = CaseNumber.parse(match["number"])
    except InvalidCaseNumber:
        raise UnusableAddress(Reason.NO_ADDRESS) from None
    document = match["document"]
    full = f"/api/v2/processos/{match['number']}/documentos/{document}/{match['form']}"
    return Address(full, document.lower(), number)


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
