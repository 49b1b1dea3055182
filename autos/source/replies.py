"""The judge of every reply of the source: a file, a listing, or a reason (DESIGN §6).

Pure functions, no state. The order of the rules is that of facts/pdpj-api.md §9, the bodies are
those of §4.4 and §8. The body decides and never its size alone: real pieces of 21 bytes exist.
How often and when to ask again is not decided here (autos/contracts/retries.py).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from autos.contracts.states import Reason
from autos.source.content_types import content_type, looks_like_markup

HEAD_BYTES: Final = 8192
"""So much of a file's beginning the judge wants to see."""

RETRY_AFTER_CAP: Final = 900.0
"""Seconds; a longer `Retry-After` is cut to this, so that a wrong header cannot stop a job."""

_NOTE_BYTES: Final = 2048
"""Error texts in place of a file are 120 to 170 bytes (§8.2); a longer text only quotes one."""

_TITLE: Final = re.compile(rb"<(title|h1)[^>]*>(.*?)</\1", re.IGNORECASE | re.DOTALL)
_OUT_OF_ORDER: Final = re.compile(
    "manuten|maintenance|indispon|unavailable|bad gateway|gateway time-?out|forbidden|"
    "internal server error|error 5|erro 5",
)
_LOGIN: Final = (b"kc-form-login", b"login-pf", b"protocol/openid-connect/auth")


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
    """The request was never made (autos/source/courts.py, or no credential): it is no attempt."""


def judge(
    status: int,
    headers: Mapping[str, str],
    first_bytes: bytes,
    length: int,
    expected_size: int | None,
) -> Available | Refused:
    """Judge the reply to a request for a document (facts/pdpj-api.md §9).

    Args:
        status: HTTP status.
        headers: of the reply; keys lower-case, or a mapping that does not care.
        first_bytes: the beginning of the body, up to `HEAD_BYTES`.
        length: bytes of the body that arrived.
        expected_size: bytes, as the listing has it (`arquivo.tamanho`), if it does.
    """
    if status != 200:
        return _judge_status(status, headers, first_bytes)
    if _cut_short(headers, length):
        return Refused(Reason.TRUNCATED)
    if length == 0:
        return Refused(Reason.EMPTY)
    complete = length == len(first_bytes)
    kind = content_type(first_bytes, headers.get("content-type"))
    if kind.startswith(("text/", "application/json", "application/xml")):
        reason = _error_in_place_of_file(headers, first_bytes, complete)
        if reason is not None:
            return Refused(reason)
    if expected_size is not None and expected_size != length:
        return Refused(Reason.SIZE_MISMATCH)
    return Available(kind)


def judge_listing(status: int, headers: Mapping[str, str], body: bytes) -> Answer | Refused:
    """Judge the reply to a request for JSON: a process's detail, or a search.

    Three refusals do not yet say that the process is unknown; a search has to confirm them
    (§8.4): NOT_FOUND, and DOCUMENT_ERROR, which stands for the lake's "Erro interno na API do
    Codex", its answer for a case that is not in the index as well as for one it cannot read.
    """
    if status != 200:
        return _judge_status(status, headers, body[:HEAD_BYTES])
    if _cut_short(headers, len(body)):
        return Refused(Reason.TRUNCATED)
    if not body.strip():
        return Refused(Reason.EMPTY)
    if looks_like_markup(body[:HEAD_BYTES]):
        return Refused(Reason.SHELL if _is_shell(body) else Reason.ERROR_BODY)
    try:
        payload = _read_json(body)
    except (ValueError, RecursionError):
        return Refused(Reason.STUB if _is_stub(body) else Reason.ERROR_BODY)
    if _is_empty_listing(payload):
        return Refused(Reason.NOT_FOUND, final=True)
    if not isinstance(payload, list | dict) or _is_error_envelope(payload):
        return Refused(Reason.ERROR_BODY)
    return Answer(payload)


def _judge_status(status: int, headers: Mapping[str, str], head: bytes) -> Refused:
    match status:
        case 401:
            no_access = _says_no_access(head)
            return Refused(Reason.NO_ACCESS if no_access else Reason.CREDENTIAL, final=no_access)
        case 403:
            return _judge_forbidden(headers, head)
        case 404 | 410:
            return Refused(Reason.NOT_FOUND, final=True)
        case 429:
            return Refused(Reason.RATE_LIMITED, retry_after=_retry_after(headers))
        case 408:
            return Refused(Reason.TIMEOUT, retry_after=_retry_after(headers))
        case 204 | 205:
            return Refused(Reason.EMPTY)
        case 500 if _is_codex_error(head):
            return Refused(Reason.DOCUMENT_ERROR)
        case _ if 400 <= status < 500:
            return Refused(Reason.BAD_REQUEST, final=True)
    # 5xx, but also 202 ("ask again") and redirects, which the API has never been seen to send.
    return Refused(Reason.UNAVAILABLE, retry_after=_retry_after(headers))


def _judge_forbidden(headers: Mapping[str, str], head: bytes) -> Refused:
    if looks_like_markup(head) or headers.get("content-type", "").startswith("text/html"):
        return Refused(Reason.BLOCKED, retry_after=_retry_after(headers))
    return Refused(Reason.NO_ACCESS if _says_no_access(head) else Reason.SECRET, final=True)


def _error_in_place_of_file(
    headers: Mapping[str, str], head: bytes, complete: bool
) -> Reason | None:
    if looks_like_markup(head):
        if _is_shell(head):
            return Reason.SHELL
        return Reason.ERROR_BODY if _is_error_page(head) else None
    if _is_envelope(headers, head, complete):
        return Reason.ERROR_BODY
    if not complete or len(head) > _NOTE_BYTES:
        return None
    if _is_stub(head):
        return Reason.STUB
    if b"503 service temporarily unavailable" in head.lower() or b'"code":500' in head:
        return Reason.ERROR_BODY
    return None


def _is_envelope(headers: Mapping[str, str], head: bytes, complete: bool) -> bool:
    if "json" in headers.get("content-type", "").lower():
        return True
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not complete:
        # A plain text may begin with a brace, too; JSON goes on with a quoted key.
        return re.match(rb'\{\s*"', start) is not None
    try:
        return isinstance(_read_json(head), dict)
    except (ValueError, RecursionError):
        return False


def _is_shell(head: bytes) -> bool:
    """The portal's own web page, answered with 200 for a wrong path (§8.1)."""
    start = _decoded(head[:6144])
    return (
        "<app-root" in start
        or "ng-version=" in start
        or "<title>portal de serviços do poder judiciário" in start
    )


def _is_error_page(head: bytes) -> bool:
    """A gateway's page: a whole HTML page (pieces are fragments) whose title says so."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:64].lower()
    if not start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return False
    if any(mark in head for mark in _LOGIN):
        return True
    headings = " ".join(_decoded(text) for _, text in _TITLE.findall(head))
    return _OUT_OF_ORDER.search(headings) is not None or bool(re.match(r"\s*[45]\d\d\b", headings))


def _is_stub(head: bytes) -> bool:
    if len(head) > _NOTE_BYTES:
        return False
    text = _decoded(head)
    return (
        ("circuitbreaker" in text and "does not permit" in text)
        or "codex indispon" in text
        or ("codex" in text and ("stream" in text or "excedeu o limite" in text))
    )


def _is_codex_error(head: bytes) -> bool:
    text = _decoded(head)
    return text.lstrip().startswith("{") and "api do codex" in text


def _says_no_access(head: bytes) -> bool:
    # Without the word "não", which arrives in UTF-8, in Latin-1 or escaped.
    return "possui acesso" in _decoded(head)


def _is_empty_listing(payload: object) -> bool:
    if isinstance(payload, dict) and "content" in payload:
        return not payload["content"]
    return payload == [] or payload == {}


def _is_error_envelope(payload: list[object] | dict[str, object]) -> bool:
    if isinstance(payload, list) or "numeroProcesso" in payload or "content" in payload:
        return False
    if {"tramitacaoAtual", "tramitacoes", "documentos", "dadosBasicos"} & payload.keys():
        return False
    return bool({"error", "code", "message", "status", "erro", "mensagem"} & payload.keys())


def _cut_short(headers: Mapping[str, str], length: int) -> bool:
    declared = headers.get("content-length", "")
    encoded = headers.get("content-encoding", "identity") != "identity"
    return declared.isascii() and declared.isdigit() and int(declared) > length and not encoded


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


def _read_json(body: bytes) -> object:
    # NaN and Infinity are not JSON, and PostgreSQL does not take them.
    return json.loads(body.removeprefix(b"\xef\xbb\xbf"), parse_constant=lambda _: None)


def _decoded(head: bytes) -> str:
    return head.decode("utf-8", "replace").lower()
