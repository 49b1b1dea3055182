"""From an href or an id in a listing to the address that may be asked.

Only the source's own host is ever asked, and there only for documents of the very process. An
address is kept as a path (`/api/v2/processos/…`), so that a stored one cannot lead elsewhere.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from autos.cnj import CaseNumber, InvalidCaseNumber
from autos.contracts.states import Reason

_PATH: Final = re.compile(
    r"(?:/api/v2)?/processos/(?P<number>[0-9.-]{20,25})"
    r"/documentos/(?P<document>[0-9A-Za-z-]{1,64})/(?P<form>binario|texto)",
    re.ASCII,
)
_PORTS: Final = {"http": 80, "https": 443}


class UnusableAddress(ValueError):
    """An href that is never asked; `reason` is FOREIGN_HOST or NO_ADDRESS."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Address:
    """Where one form of one document is: a path on the source's host."""

    path: str
    document: str
    """The document's id at the source, a UUID, in lower case."""
    number: CaseNumber


def read_href(href: str, number: CaseNumber, base_url: str) -> Address:
    """The address an href of this process's listing means.

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
    """The address of a document's file by the source's known route, where no href is listed.

    Args:
        document: the document's UUID.
        number: the process whose listing it was found in.
    """
    return read_path(f"/processos/{number.masked}/documentos/{document}/binario")


def is_text(path: str) -> bool:
    """True for the address of the text taken out of a document, which is not its file."""
    return path.endswith("/texto")


def read_path(path: str) -> Address:
    """Check a stored path again before it is asked.

    Raises:
        UnusableAddress: NO_ADDRESS, since the path is not one of a document.
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
