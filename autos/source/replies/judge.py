"""The judge of every reply of the source: a file, a listing, or a reason.

Pure functions, no state. What a page or a note in place of a file looks like is in `pages`. The
body decides and never its size alone: real pieces of 21 bytes exist. How often and when to ask
again is not decided here (autos/contracts/retries.py).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from autos.contracts.states import Reason
from autos.source.replies.content_types import (
    PDF,
    agrees,
    content_type,
    is_markup,
    is_readable,
    looks_like_markup,
)
from autos.source.replies.error_pages import decoded, found_instead, is_envelope, read_json

HEAD_BYTES: Final = 16 * 1024
"""So much of a file's beginning the judge wants to see; of a reply without a file, too."""
TAIL_BYTES: Final = 8 * 1024
"""So much of a file's end the judge wants to see."""

RETRY_AFTER_CAP: Final = 900.0
"""Seconds; a longer `Retry-After` is cut to this, so that a wrong header cannot stop a job."""

_BLANK: Final = b"\0 \t\r\n\f\v\xef\xbb\xbf"

_MALFORMED: Final = frozenset({400, 405, 406, 411, 412, 413, 414, 415, 416, 417, 422, 428, 431})
"""Statuses that speak of the request itself. Others of 4xx (409, 423, 425, 499 …) pass."""

_LOGIN_PATH: Final = re.compile(
    r"/openid-connect/auth|/login-actions/|/saml2?/|/login(\.\w+)?/?$|/(entrar|signin|sso)/?$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Available:
    """The reply is the file; `content_type` is told by its first bytes."""

    content_type: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply is the JSON that was asked for."""

    payload: object


@dataclass(frozen=True, slots=True)
class Refused:
    """The reply is not what was asked for, and asking again cannot change that if `final`."""

    reason: Reason
    final: bool = False
    retry_after: float | None = None
    """Seconds the source wants to be left alone, capped; None if it does not say."""
    unsent: bool = False
    """It says nothing of what was asked for, so it is no attempt: the request was held back
    (autos/source/courtesy/courts.py), or the credential is refused or missing."""


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

    A body of the listed size and type is the document, whatever words are in it. Without such a
    proof it must not be one of the pages that come in place of a file, and a PDF needs its end.
    A body of another size than listed is SIZE_MISMATCH only if it may be the document for all
    else; a reply that cannot be one has the reason why not.

    Args:
        status: HTTP status.
        headers: of the reply; keys lower-case, or a mapping that does not care.
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
    if is_readable(kind) and (reason := found_instead(first_bytes, last_bytes, whole=whole)):
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

    Three refusals do not yet say that the process is unknown; a search has to confirm them:
    NOT_FOUND, and DOCUMENT_ERROR, which stands for the lake's "Erro interno na API do Codex",
    its answer for a case that is not in the index as well as for one it cannot read.
    """
    if status != 200:
        return _judge_status(status, headers, body[:HEAD_BYTES])
    if _cut_short(headers, len(body)):
        return Refused(Reason.TRUNCATED)
    if not body.strip(_BLANK):
        return Refused(Reason.EMPTY)
    first = body[:HEAD_BYTES]
    if looks_like_markup(first):
        instead = found_instead(first, body[-TAIL_BYTES:], whole=len(first) == len(body))
        return Refused(instead or Reason.ERROR_BODY)
    try:
        says_utf8 = "utf-8" in headers.get("content-type", "").lower()
        payload = read_json(decoded(body, says_utf8=says_utf8))
    except (ValueError, RecursionError):
        instead = found_instead(first, b"", whole=len(first) == len(body))
        return Refused(instead or Reason.UNREADABLE_LISTING)
    if _is_empty_listing(payload):
        return Refused(Reason.NOT_FOUND, final=True)
    if not isinstance(payload, list) and is_envelope(payload):
        return Refused(Reason.ERROR_BODY)
    if not isinstance(payload, list | dict):
        return Refused(Reason.UNREADABLE_LISTING)
    return Answer(payload)


def judge_redirect(location: str, headers: Mapping[str, str]) -> Refused:
    """Judge a redirect that is not followed: to a login (CREDENTIAL), or elsewhere (REDIRECTED).

    Args:
        location: the address it leads to, absolute or relative.
        headers: of the reply.
    """
    reason = Reason.CREDENTIAL if leads_to_login(location) else Reason.REDIRECTED
    return Refused(reason, retry_after=_retry_after(headers))


def leads_to_login(location: str) -> bool:
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


def _judge_status(status: int, headers: Mapping[str, str], head: bytes) -> Refused:
    wait = _retry_after(headers)
    if status >= 400 and looks_like_markup(head):
        instead = found_instead(head, head, whole=False)
        if instead in (Reason.BLOCKED, Reason.CREDENTIAL):
            return Refused(instead, retry_after=wait)
    match status:
        case 401:
            no_access = _says_no_access(head)
            return Refused(Reason.NO_ACCESS if no_access else Reason.CREDENTIAL, final=no_access)
        case 403:
            return _judge_forbidden(headers, head)
        case 404 | 410:
            return Refused(Reason.NOT_FOUND, final=_is_own_not_found(head), retry_after=wait)
        case 429:
            return Refused(Reason.RATE_LIMITED, retry_after=wait)
        case 408:
            return Refused(Reason.TIMEOUT, retry_after=wait)
        case 202:
            # It is not ready yet. Its `Retry-After` is for this alone, not for the whole court.
            return Refused(Reason.STUB, retry_after=wait)
        case 204 | 205:
            return Refused(Reason.EMPTY)
        case 500 if _is_codex_error(head):
            return Refused(Reason.DOCUMENT_ERROR)
        case 301 | 302 | 303 | 307 | 308:
            return judge_redirect(headers.get("location", ""), headers)
        case _ if status in _MALFORMED and not looks_like_markup(head):
            return Refused(Reason.BAD_REQUEST, final=True)
    return Refused(Reason.UNAVAILABLE, retry_after=wait)


def _judge_forbidden(headers: Mapping[str, str], head: bytes) -> Refused:
    if looks_like_markup(head) or headers.get("content-type", "").startswith("text/html"):
        return Refused(Reason.BLOCKED, retry_after=_retry_after(headers))
    return Refused(Reason.NO_ACCESS if _says_no_access(head) else Reason.SECRET, final=True)


def _is_own_not_found(head: bytes) -> bool:
    """True for the source's own 404: of the data lake, or of the portal on behalf of it.

    A gateway before it answers 404, too, while it does not know its routes; it has no message.
    """
    try:
        body = read_json(decoded(head))
    except (ValueError, RecursionError):
        return False
    if not isinstance(body, dict):
        return False
    message = body.get("message")
    is_own = "code" in body or "externalUrlService" in body
    return is_own and isinstance(message, str) and bool(message.strip())


def _is_codex_error(head: bytes) -> bool:
    text = _decoded(head)
    return text.lstrip().startswith("{") and "api do codex" in text


def _says_no_access(head: bytes) -> bool:
    # Without the word "não", which arrives in UTF-8, in Latin-1 or escaped.
    return "possui acesso" in _decoded(head) and not looks_like_markup(head)


def _is_empty_listing(payload: object) -> bool:
    if isinstance(payload, dict) and "content" in payload:
        return not payload["content"]
    return payload == [] or payload == {}


def _cut_short(headers: Mapping[str, str], length: int) -> bool:
    declared = headers.get("content-length", "")
    encoded = headers.get("content-encoding", "identity") != "identity"
    return bool(re.fullmatch(r"[0-9]{1,18}", declared)) and int(declared) > length and not encoded


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from `Retry-After`, as a number or an HTTP date (RFC 9110 §10.2.3), capped."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if re.fullmatch(r"\d{1,18}(\.\d{1,6})?", value, re.ASCII):
        return min(float(value), RETRY_AFTER_CAP)
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_CAP)


def _decoded(head: bytes) -> str:
    return head.decode("utf-8", "replace").lower()
