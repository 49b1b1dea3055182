"""Classifies every reply of the source: a file, a listing, or the reason why it is neither.

Pure functions, no state. `_STATUSES` is the table of statuses; pages and notes in place of a file
are in `error_pages`. The size alone never decides: real files of 21 bytes exist
(docs/source.md#faults, docs/source.md#texts). autos/contracts/retries.py decides when to retry.
"""

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from autos.contracts.reasons import Reason
from autos.retry_after import parse_retry_after
from autos.source.replies.content_types import (
    PDF,
    agrees,
    content_type,
    is_markup,
    is_readable,
    looks_like_markup,
)
from autos.source.replies.error_pages import decoded, find_error, is_envelope, read_json

HEAD_BYTES: Final = 16 * 1024
"""Bytes of a file's beginning, or of an error's body, that are examined."""
TAIL_BYTES: Final = 8 * 1024
"""Bytes of a file's end that are examined."""

RETRY_AFTER_CAP: Final = 900.0
"""Seconds; a longer `Retry-After` is cut to this: a wrong header must not stop a job."""

_BLANK: Final = b"\0 \t\r\n\f\v\xef\xbb\xbf"

_LOGIN_PATH: Final = re.compile(
    r"/openid-connect/auth|/login-actions/|/saml2?/|/login(\.\w+)?/?$|/(entrar|signin|sso)/?$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Available:
    """The reply is the file; `content_type` is found by its first bytes."""

    content_type: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply is the JSON that was requested."""

    payload: object


@dataclass(frozen=True, slots=True)
class Refused:
    """The reply is not what was requested; `final` if a retry cannot change that."""

    reason: Reason
    final: bool = False
    retry_after: float | None = None
    """Seconds until the source wants the next request, capped; None if it does not say."""
    unsent: bool = False
    """The refusal is no evidence about the requested item, so it is not an attempt: the request was
    rejected before it was sent (autos/source/limits/courts.py), or the credential is refused or
    missing.
    """


def judge(
    status: int,
    headers: Mapping[str, str],
    first_bytes: bytes,
    length: int,
    expected_size: int | None,
    *,
    last_bytes: bytes | None = None,
    listed_type: str | None = None,
) -> Available | Refused:
    """Judge the reply to a request for a document.

    A body of the listed size and type is the document, whatever words it contains. Otherwise it
    must not be a known error page, and a PDF must be complete. A body of another size than listed
    is SIZE_MISMATCH only if everything else fits.

    Args:
        status: HTTP status.
        headers: of the reply, by lower-case name.
        first_bytes: the beginning of the body, up to `HEAD_BYTES`.
        length: bytes of the body that arrived, decompressed.
        expected_size: bytes, as the listing has it (`arquivo.tamanho`), if it does.
        last_bytes: the end of the body, up to `TAIL_BYTES`; None where it was not kept.
        listed_type: the media type in the listing (`arquivo.tipo`), if there is one.
    """
    if status != 200:
        return _judge_status(status, headers, first_bytes)
    if _cut_short(headers, length):
        return Refused(Reason.TRUNCATED)
    if length == 0:
        return Refused(Reason.EMPTY)
    kind = content_type(first_bytes, headers.get("content-type"), listed_type)
    agreed = agrees(kind, listed_type)
    if length == expected_size and agreed:
        return Available(kind)
    whole = length == len(first_bytes)
    if last_bytes is None:
        last_bytes = first_bytes if whole else b""
    if not first_bytes.strip(_BLANK) and (whole or not last_bytes.strip(_BLANK)):
        return Refused(Reason.EMPTY)
    if is_readable(kind) and (reason := find_error(first_bytes, last_bytes, whole=whole)):
        return Refused(reason)
    if length == expected_size:
        return Available(kind)
    if is_markup(kind) and not (agreed or is_readable(listed_type or kind)):
        return Refused(Reason.ERROR_BODY)
    if kind == PDF and last_bytes and b"%%EOF" not in last_bytes:
        return Refused(Reason.TRUNCATED)
    if expected_size is not None:
        return Refused(Reason.SIZE_MISMATCH if agreed else Reason.ERROR_BODY)
    return Available(kind)


def judge_listing(status: int, headers: Mapping[str, str], body: bytes) -> Answer | Refused:
    """Judge the reply to a request for JSON: a process's detail, or a search.

    NOT_FOUND and DOCUMENT_ERROR of a detail do not show yet that the process is unknown; a search
    has to confirm it: "Erro interno na API do Codex" is the reply for a case that is not in the
    index and for one that cannot be read (docs/source.md#faults).
    """
    if status != 200:
        return _judge_status(status, headers, body[:HEAD_BYTES])
    if _cut_short(headers, len(body)):
        return Refused(Reason.TRUNCATED)
    if not body.strip(_BLANK):
        return Refused(Reason.EMPTY)
    first = body[:HEAD_BYTES]
    if looks_like_markup(first):
        error = find_error(first, body[-TAIL_BYTES:], whole=len(first) == len(body))
        return Refused(error or Reason.ERROR_BODY)
    try:
        says_utf8 = "utf-8" in headers.get("content-type", "").lower()
        payload = read_json(decoded(body, says_utf8=says_utf8))
    except (ValueError, RecursionError):
        error = find_error(first, b"", whole=len(first) == len(body))
        return Refused(error or Reason.UNREADABLE_LISTING)
    if _is_empty_listing(payload):
        return Refused(Reason.NOT_FOUND, final=True)
    if not isinstance(payload, list) and is_envelope(payload):
        return Refused(Reason.ERROR_BODY)
    if not isinstance(payload, list | dict):
        return Refused(Reason.UNREADABLE_LISTING)
    return Answer(payload)


def is_login(location: str) -> bool:
    """True for the address of a login page: PDPJ's single sign-on, gov.br, or a court's own."""
    try:
        parts = urlsplit(location.strip())
        host = parts.hostname or ""
    except ValueError:
        return False
    return (
        host.startswith("sso.")
        or ".sso." in host
        or host in ("gov.br", "www.gov.br", "acesso.gov.br")
        or host.endswith(".acesso.gov.br")
        or _LOGIN_PATH.search(parts.path) is not None
    )


@dataclass(frozen=True, slots=True)
class _Reply:
    """A reply whose status is not 200."""

    headers: Mapping[str, str]
    head: bytes
    is_page: bool
    page: Reason | None
    """The reason that a known error page in the body indicates."""

    @property
    def text(self) -> str:
        return self.head.decode("utf-8", "replace").lower()


def _any(_: _Reply) -> bool:
    return True


def _is_html(reply: _Reply) -> bool:
    return reply.is_page or reply.headers.get("content-type", "").startswith("text/html")


def _is_codex_error(reply: _Reply) -> bool:
    return reply.text.lstrip().startswith("{") and "api do codex" in reply.text


def _says_no_access(reply: _Reply) -> bool:
    # Without the word "não", which arrives in UTF-8, in Latin-1 or escaped.
    return "possui acesso" in reply.text and not reply.is_page


def _is_own_not_found(reply: _Reply) -> bool:
    """True for the source's own 404: of the data lake, or of the portal on behalf of it.

    A gateway in front of it also answers 404, without a message, while its routes are not loaded.
    """
    try:
        body = read_json(decoded(reply.head))
    except (ValueError, RecursionError):
        return False
    if not isinstance(body, dict):
        return False
    message = body.get("message")
    is_own = "code" in body or "externalUrlService" in body
    return is_own and isinstance(message, str) and bool(message.strip())


_ERRORS: Final = range(400, 1000)
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MALFORMED: Final = frozenset({400, 405, 406, 411, 412, 413, 414, 415, 416, 417, 422, 428, 431})
"""Statuses about the request itself. Other 4xx (409, 423, 425, 499 …) are temporary."""

_STATUSES: Final[tuple[tuple[Container[int], Callable[[_Reply], bool], Refused], ...]] = (
    (_ERRORS, lambda reply: reply.page is Reason.BLOCKED, Refused(Reason.BLOCKED)),
    (_ERRORS, lambda reply: reply.page is Reason.CREDENTIAL, Refused(Reason.CREDENTIAL)),
    ({403}, _is_html, Refused(Reason.BLOCKED)),
    ({401, 403}, _says_no_access, Refused(Reason.NO_ACCESS, final=True)),
    ({401}, _any, Refused(Reason.CREDENTIAL)),
    ({403}, _any, Refused(Reason.SECRET, final=True)),
    ({404, 410}, _is_own_not_found, Refused(Reason.NOT_FOUND, final=True)),
    ({404, 410}, _any, Refused(Reason.NOT_FOUND)),
    ({408}, _any, Refused(Reason.TIMEOUT)),
    ({429}, _any, Refused(Reason.RATE_LIMITED)),
    # Not ready yet; its `Retry-After` holds for this document, not for the whole court.
    ({202}, _any, Refused(Reason.STUB)),
    ({204, 205}, _any, Refused(Reason.EMPTY)),
    ({500}, _is_codex_error, Refused(Reason.DOCUMENT_ERROR)),
    (_REDIRECTS, lambda r: is_login(r.headers.get("location", "")), Refused(Reason.CREDENTIAL)),
    (_REDIRECTS, _any, Refused(Reason.REDIRECTED)),
    (_MALFORMED, lambda reply: not reply.is_page, Refused(Reason.BAD_REQUEST, final=True)),
)
"""The first matching row decides; without one it is UNAVAILABLE (docs/source.md#faults)."""


def _judge_status(status: int, headers: Mapping[str, str], head: bytes) -> Refused:
    is_page = looks_like_markup(head)
    page = find_error(head, head, whole=False) if is_page and status in _ERRORS else None
    reply = _Reply(headers, head, is_page, page)
    refused = next(
        (refused for statuses, fits, refused in _STATUSES if status in statuses and fits(reply)),
        Refused(Reason.UNAVAILABLE),
    )
    seconds = parse_retry_after(headers.get("retry-after"))
    if refused.final or seconds is None:
        return refused
    return replace(refused, retry_after=min(seconds, RETRY_AFTER_CAP))


def _is_empty_listing(payload: object) -> bool:
    if isinstance(payload, dict) and "content" in payload:
        return not payload["content"]
    return payload == [] or payload == {}


def _cut_short(headers: Mapping[str, str], length: int) -> bool:
    declared = headers.get("content-length", "")
    encoded = headers.get("content-encoding", "identity") != "identity"
    return bool(re.fullmatch(r"[0-9]{1,18}", declared)) and int(declared) > length and not encoded
