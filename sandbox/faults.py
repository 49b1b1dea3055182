"""All faults: their names, the routes they apply to, and their effects on a reply.

To add a fault, add a member to `FaultName` and a row to the table in `docs/reference/sandbox.md`.
Faults that change the JSON of a case have no effect here; `sandbox.cases.detail` and
`sandbox.cases.search` check for their names. `fault_schedule` decides when a fault applies.
"""

import gzip
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from enum import StrEnum
from math import ceil
from typing import Final, Self, TypeAlias

from pydantic import JsonValue

from autos.cnj import CaseNumber
from sandbox import response_bodies as bodies
from sandbox.files import Content
from sandbox.replies import HTML, JSON, TEXT, XML, Reply, body_reply

LOGIN_PATH: Final = "/auth/realms/pje/protocol/openid-connect/auth"
STORAGE_PATH: Final = "/arquivos"
FOREIGN_URL: Final = "https://arquivos.exemplo.invalid"
OTHER_NUMBER: Final = CaseNumber.build(9_999_998, 2024, 8, 26, 100)


class Route(StrEnum):
    """The kinds of requests that a fault can apply to."""

    DETAIL = "detail"
    SEARCH = "search"
    DOCUMENT = "document"
    TEXT = "text"
    TOKEN = "token"


_API: Final = frozenset(Route) - {Route.TOKEN}
_FILES: Final = frozenset({Route.DOCUMENT})
_SEARCH: Final = frozenset({Route.SEARCH})
_DETAIL: Final = frozenset({Route.DETAIL})
_LISTS: Final = _SEARCH | _DETAIL


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """The properties of a request that effects use."""

    path: str
    number: str
    """The case's digits; empty if the request names no case."""
    document: str | None
    now: float
    """Seconds since 1970."""
    base_url: str
    """Scheme and host of the URL that the client used."""


Parameters: TypeAlias = Mapping[str, JsonValue]
Effect: TypeAlias = Callable[[Reply, Parameters, RequestInfo], Reply]
"""Returns the reply with a fault applied to it."""


def numeric_parameter(parameters: Parameters, name: str, default: float) -> float:
    """A numeric parameter of a fault."""
    value = parameters.get(name)
    return float(value) if isinstance(value, int | float | str) else default


def _unchanged(reply: Reply, _parameters: Parameters, _request: RequestInfo) -> Reply:
    return reply


def _reply(status: int, content_type: str | None, body: bytes) -> Effect:
    fixed = body_reply(body, content_type, status)
    return lambda _reply, _parameters, _request: fixed


def _no_access(status: int) -> Effect:
    return lambda _reply, _parameters, request: body_reply(
        bodies.no_access(status, request.number), JSON, status
    )


def _codex_500(_reply: Reply, _parameters: Parameters, request: RequestInfo) -> Reply:
    body = bodies.codex_error(request.path, request.document, request.number, request.now)
    return body_reply(body, JSON, 500)


def _retry_after(_reply: Reply, parameters: Parameters, _request: RequestInfo) -> Reply:
    seconds = f"{numeric_parameter(parameters, 'seconds', 1):g}"
    reply = body_reply(bodies.rate_limited(), JSON, 429)
    return replace(reply, headers=(("retry-after", seconds),))


def _reset(reply: Reply, parameters: Parameters, _request: RequestInfo) -> Reply:
    after = parameters.get("after_bytes")
    return replace(
        reply, reset=True, after_bytes=None if after is None else _cut_at(parameters, reply)
    )


def _truncated(reply: Reply, parameters: Parameters, _request: RequestInfo) -> Reply:
    return replace(reply, after_bytes=_cut_at(parameters, reply))


def _cut_at(parameters: Parameters, reply: Reply) -> int:
    requested = int(numeric_parameter(parameters, "after_bytes", reply.content.size // 2))
    return max(0, min(requested, reply.content.size - 1))


def _size_mismatch(reply: Reply, parameters: Parameters, _request: RequestInfo) -> Reply:
    difference = int(numeric_parameter(parameters, "bytes", 1))
    content = reply.content
    if difference >= 0:
        return replace(reply, content=replace(content, tail=content.tail + b" " * difference))
    whole = content.read()
    return replace(reply, content=Content(content.media_type, whole[:difference]))


def _wrong_content_type(reply: Reply, parameters: Parameters, _request: RequestInfo) -> Reply:
    content_type = parameters.get("content_type", "application/octet-stream")
    return replace(reply, content_type=str(content_type))


def _slow_first_byte(reply: Reply, parameters: Parameters, _request: RequestInfo) -> Reply:
    return replace(reply, first_byte_after=numeric_parameter(parameters, "seconds", 1))


def _trickle(reply: Reply, parameters: Parameters, _request: RequestInfo) -> Reply:
    return replace(reply, bytes_per_second=numeric_parameter(parameters, "bytes_per_second", 1000))


def _stall(reply: Reply, parameters: Parameters, _request: RequestInfo) -> Reply:
    return replace(reply, hang=True, after_bytes=_cut_at(parameters, reply))


def _retry_after_date(_reply: Reply, parameters: Parameters, _request: RequestInfo) -> Reply:
    date = formatdate(ceil(time.time() + numeric_parameter(parameters, "seconds", 1)), usegmt=True)
    reply = body_reply(bodies.rate_limited(), JSON, 429)
    return replace(reply, headers=(("retry-after", date),))


def _accepted(_reply: Reply, parameters: Parameters, _request: RequestInfo) -> Reply:
    seconds = f"{numeric_parameter(parameters, 'seconds', 1):g}"
    return replace(body_reply(b"", None, 202), headers=(("retry-after", seconds),))


def _other_status(_reply: Reply, parameters: Parameters, _request: RequestInfo) -> Reply:
    status = int(numeric_parameter(parameters, "status", 409))
    return body_reply(bodies.other_status(status), JSON, status)


def _redirect(url: str) -> Reply:
    """A 302 to a URL."""
    return replace(body_reply(b"", None, 302), headers=(("location", url),))


def signed_url(request: RequestInfo, host: str) -> str:
    """The signed URL of a document's file on the given host; it needs no token."""
    scheme = request.base_url.partition("://")[0]
    path = f"{STORAGE_PATH}/{request.number}/{request.document}"
    return f"{scheme}://{host}{path}?X-Amz-Signature=inventada"


def _redirect_own(_reply: Reply, parameters: Parameters, request: RequestInfo) -> Reply:
    netloc = request.base_url.partition("://")[2]
    host, _, port = netloc.partition(":")
    other = {"localhost": "127.0.0.1"}.get(host, "localhost")
    target = parameters.get("host", f"{other}:{port}" if port else other)
    return _redirect(signed_url(request, str(target)))


def _gzip(reply: Reply, _parameters: Parameters, _request: RequestInfo) -> Reply:
    compressed = gzip.compress(reply.content.read(), mtime=0)
    headers = (*reply.headers, ("content-encoding", "gzip"))
    return replace(reply, content=Content(reply.content.media_type, compressed), headers=headers)


def _gzip_truncated(reply: Reply, parameters: Parameters, request: RequestInfo) -> Reply:
    compressed = _gzip(reply, parameters, request)
    half = compressed.content.head[: compressed.content.size // 2]
    return replace(compressed, content=Content(compressed.content.media_type, half))


def _short_length(reply: Reply, parameters: Parameters, _request: RequestInfo) -> Reply:
    return replace(
        reply, announced=int(numeric_parameter(parameters, "bytes", reply.content.size // 2))
    )


def _unequal(reply: Reply, _parameters: Parameters, _request: RequestInfo) -> Reply:
    # A comment at the end, so the PDF stays valid.
    content = reply.content
    tail = content.tail + b"\n%" + secrets.token_hex(3).encode()
    return replace(reply, content=replace(content, tail=tail))


def _latin1(reply: Reply, parameters: Parameters, _request: RequestInfo) -> Reply:
    body = reply.content.read().decode().encode("iso-8859-1", "replace")
    declared = parameters.get("declared", True)
    return body_reply(body, f"{JSON};charset=ISO-8859-1" if declared else JSON, reply.status)


def _nested(reply: Reply, parameters: Parameters, _request: RequestInfo) -> Reply:
    depth = int(numeric_parameter(parameters, "depth", 600))
    before, brace, after = reply.content.read().partition(b"{")
    member = b'"aninhado":' + b"[" * depth + b"]" * depth + b","
    return body_reply(before + brace + member + after, JSON, reply.status)


def _other_number(reply: Reply, _parameters: Parameters, request: RequestInfo) -> Reply:
    if not request.number:
        return reply
    requested = CaseNumber(request.number)
    body = reply.content.read().replace(requested.masked.encode(), OTHER_NUMBER.masked.encode())
    body = body.replace(requested.digits.encode(), OTHER_NUMBER.digits.encode())
    return body_reply(body, JSON, reply.status)


def _gateway(_reply: Reply, _parameters: Parameters, request: RequestInfo) -> Reply:
    return body_reply(bodies.gateway_not_found(request.path, request.now), JSON, 404)


class FaultName(StrEnum):
    """Every fault, with its default routes, description and effect."""

    routes: frozenset[Route]
    description: str
    effect: Effect

    def __new__(
        cls, value: str, routes: frozenset[Route], description: str, effect: Effect
    ) -> Self:
        """Create a member; `description` is one line for the documentation."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.routes = routes
        member.description = description
        member.effect = effect
        return member

    # Formatted as a table: one value per line would make it four times as long.
    # fmt: off
    UNAUTHORIZED_EMPTY = ("unauthorized_empty", _API, "401 without body or Content-Type",
        _reply(401, None, b""))
    UNAUTHORIZED_JSON = ("unauthorized_json", _API, "401 JSON with an empty message",
        _reply(401, JSON, bodies.unauthorized()))
    NO_ACCESS = "no_access", _API, "401 JSON 'não possui acesso ao processo'", _no_access(401)
    NO_ACCESS_403 = ("no_access_403", _API, "403 JSON 'não possui acesso ao processo'",
        _no_access(403))
    BECOMES_SECRET = ("becomes_secret", _FILES, "listed, but downloads return the 401 of no_access",
        _no_access(401))
    SECRET_PIECE_403 = ("secret_piece_403", _FILES, "403 JSON on a document",
        _reply(403, JSON, bodies.secret_piece()))
    SECRET_PIECE_403_EMPTY = ("secret_piece_403_empty", _FILES, "403 without a body",
        _reply(403, None, b""))
    WAF_HTML = "waf_html", _API, "403 with the firewall's HTML", _reply(403, HTML, bodies.WAF)
    CONNECTION_RESET = ("connection_reset", _API, "RST, after parameter `after_bytes` if given",
        _reset)
    CODEX_500 = "codex_500", _FILES, "500 'Erro interno na API do Codex.'", _codex_500
    BAD_GATEWAY_HTML = ("bad_gateway_html", _API, "502 with CloudFront's HTML",
        _reply(502, HTML, bodies.cloudfront(502)))
    UNAVAILABLE_503_HTML = ("unavailable_503_html", _API, "503 with CloudFront's HTML",
        _reply(503, HTML, bodies.cloudfront(503)))
    UNAVAILABLE_503_JSON = ("unavailable_503_json", _API, "503 JSON 'Serviço indisponível'",
        _reply(503, JSON, bodies.unavailable()))
    GATEWAY_TIMEOUT_504 = ("gateway_timeout_504", _API, "504 with CloudFront's HTML",
        _reply(504, HTML, bodies.cloudfront(504)))
    RATE_LIMITED = ("rate_limited", _API, "429 without Retry-After",
        _reply(429, JSON, bodies.rate_limited()))
    RATE_LIMITED_RETRY_AFTER = (
        "rate_limited_retry_after", _API, "429 with Retry-After, parameter `seconds` (default 1)",
        _retry_after,
    )
    STUB_CIRCUIT_BREAKER = ("stub_circuit_breaker", _FILES, "200, text of an open breaker",
        _reply(200, TEXT, bodies.STUB_CIRCUIT_BREAKER))
    STUB_CODEX_DOWN = ("stub_codex_down", _FILES, "200, text 'Codex indisponível'",
        _reply(200, TEXT, bodies.STUB_CODEX_DOWN))
    STUB_CODEX_TIMEOUT = ("stub_codex_timeout", _FILES, "200, text that Codex timed out",
        _reply(200, TEXT, bodies.STUB_CODEX_TIMEOUT))
    JSON_ERROR_200 = ("json_error_200", _API, "200 with a JSON error",
        _reply(200, JSON, bodies.json_error()))
    EMPTY_200 = "empty_200", _API, "200 with an empty body", _reply(200, None, b"")
    MAINTENANCE_HTML_200 = ("maintenance_html_200", _API, "200 with a maintenance page",
        _reply(200, HTML, bodies.MAINTENANCE))
    SHELL_200 = ("shell_200", _API, "200 with the portal's single-page shell",
        _reply(200, "text/html", bodies.SHELL))
    TRUNCATED = ("truncated", _FILES,
        "connection closed after `after_bytes` (default half), less than Content-Length",
        _truncated)
    SIZE_MISMATCH = ("size_mismatch", _FILES,
        "the body is `bytes` longer than listed (default 1; negative: shorter)", _size_mismatch)
    CHUNKED_NO_LENGTH = ("chunked_no_length", _FILES, "chunked, without Content-Length",
        lambda reply, _p, _r: replace(reply, announce_length=False))
    CHUNKED_TRUNCATED = ("chunked_truncated", _FILES, "chunked, closed after half the body",
        lambda reply, parameters, request: replace(
            _truncated(reply, parameters, request), announce_length=False))
    WRONG_CONTENT_TYPE = ("wrong_content_type", _FILES,
        "Content-Type of parameter `content_type` (default application/octet-stream)",
        _wrong_content_type)
    MISSING_CONTENT_TYPE = ("missing_content_type", _FILES, "no Content-Type",
        lambda reply, _p, _r: replace(reply, content_type=None))
    SLOW_FIRST_BYTE = ("slow_first_byte", _API, "first byte after `seconds` (default 1)",
        _slow_first_byte)
    TRICKLE = "trickle", _FILES, "`bytes_per_second` (default 1000)", _trickle
    HANG = ("hang", _API, "no response until the client disconnects",
        lambda reply, _p, _r: replace(reply, hang=True))
    STALL = "stall", _FILES, "half the body, then nothing until the client disconnects", _stall
    NOT_FOUND_404 = ("not_found_404", _API, "404 JSON of the lake",
        _reply(404, JSON, bodies.lake_not_found()))
    NUMERIC_ID_400 = ("numeric_id_400", _FILES, "400, the error for an id that is not a UUID",
        _reply(400, JSON, bodies.bad_request()))
    TINY = ("tiny", _FILES, "the file is `<p>Segue anexo.</p>`, real but tiny",
        _reply(200, "text/html", bodies.TINY))
    PIECE_WITHHELD = "piece_withheld", _DETAIL, "the document is missing from the list", _unchanged
    EMPTY_LISTING = "empty_listing", _DETAIL, "200 with []", _reply(200, JSON, b"[]")
    SEARCH_END_404 = ("search_end_404", _SEARCH, "the page after the last is 404 (the default)",
        _unchanged)
    SEARCH_END_EMPTY = ("search_end_empty", _SEARCH, "the page after the last has no items",
        _unchanged)
    SEARCH_END_NULL = ("search_end_null", _SEARCH, "the page after the last has content null",
        _unchanged)
    SEARCH_SPLIT_ITEM = "search_split_item", _SEARCH, "one content item per tramitação", _unchanged
    SEARCH_PAGE_FAILS = (
        "search_page_fails", _SEARCH, "503 on page `page` (default 2, the first is 1)",
        _reply(503, JSON, bodies.unavailable()),
    )
    LOGIN_GOVBR_200 = ("login_govbr_200", _FILES, "200 with gov.br's login page",
        _reply(200, HTML, bodies.LOGIN_GOVBR))
    LOGIN_PJE_200 = ("login_pje_200", _FILES, "200 with the PJe's login page",
        _reply(200, HTML, bodies.LOGIN_PJE))
    REQUEST_REJECTED_200 = ("request_rejected_200", _FILES, "200, firewall page 'Request Rejected'",
        _reply(200, HTML, bodies.REQUEST_REJECTED))
    JUST_A_MOMENT_200 = ("just_a_moment_200", _FILES, "200, firewall page 'Just a moment...'",
        _reply(200, HTML, bodies.JUST_A_MOMENT))
    PROXY_ERROR_200 = ("proxy_error_200", _FILES, "200, a proxy's text 'upstream connect error'",
        _reply(200, TEXT, bodies.PROXY_ERROR))
    SERVER_ERROR_200 = ("server_error_200", _FILES, "200, text 'Internal Server Error'",
        _reply(200, TEXT, bodies.SERVER_ERROR))
    CODEX_ERROR_200 = ("codex_error_200", _FILES, "200, text 'Erro interno na API do Codex.'",
        _reply(200, TEXT, bodies.CODEX_ERROR))
    ACCESS_DENIED_200 = ("access_denied_200", _FILES, "200 with an object store's AccessDenied",
        _reply(200, XML, bodies.ACCESS_DENIED))
    BLANKS_200 = "blanks_200", _FILES, "200, four spaces", _reply(200, TEXT, bodies.BLANKS)
    CUT_PDF_200 = ("cut_pdf_200", _FILES, "200, only the first nine bytes of a PDF",
        _reply(200, "application/pdf", bodies.CUT_PDF))
    NOT_FOUND_GATEWAY = ("not_found_gateway", _API, "404 JSON of the gateway: no such route",
        _gateway)
    NOT_FOUND_HTML = ("not_found_html", _API, "404 with a web server's page",
        _reply(404, "text/html", bodies.NOT_FOUND_HTML))
    OTHER_STATUS = ("other_status", _API, "the status of parameter `status` (default 409)",
        _other_status)
    ACCEPTED_202 = ("accepted_202", _FILES, "202 with Retry-After, parameter `seconds` (default 1)",
        _accepted)
    RETRY_AFTER_DATE = (
        "retry_after_date", _API, "429 with Retry-After as a date, `seconds` (default 1) from now",
        _retry_after_date,
    )
    REDIRECT_LOGIN = ("redirect_login", _API, "302 to the PJe's login page",
        lambda _reply, _p, request: _redirect(
            f"{request.base_url}{LOGIN_PATH}"
            "?client_id=portalexterno-frontend&response_mode=fragment"))
    REDIRECT_OWN_HOST = ("redirect_own_host", _FILES,
        "302 to a signed URL of the file on another name of this host, or on parameter `host`; "
        "that URL refuses requests with a token", _redirect_own)
    REDIRECT_FOREIGN_HOST = ("redirect_foreign_host", _API, "302 to a host that does not exist",
        lambda _reply, _p, request: _redirect(FOREIGN_URL + request.path))
    REDIRECT_LOOP = ("redirect_loop", _API, "302 to the same URL",
        lambda _reply, _p, request: _redirect(request.base_url + request.path))
    GZIP = "gzip", _API, "the body is compressed", _gzip
    GZIP_TRUNCATED = ("gzip_truncated", _API,
        "the compressed body ends after half; Content-Length is the length of that half",
        _gzip_truncated)
    SHORT_CONTENT_LENGTH = ("short_content_length", _FILES,
        "Content-Length is `bytes` (default half), but the whole body follows", _short_length)
    SIZE_MISMATCH_UNEQUAL = ("size_mismatch_unequal", _FILES,
        "the body is 8 bytes longer than listed and differs at each request", _unequal)
    LATIN1_JSON = ("latin1_json", _LISTS,
        "the JSON is in ISO-8859-1; Content-Type declares it unless `declared` is false",
        _latin1)
    NESTED = ("nested", _LISTS,
        "an unknown member has lists nested `depth` (default 600) levels deep", _nested)
    OTHER_NUMBER = ("other_number", _LISTS, "the response has another case number",
        _other_number)
    DETAIL_BARE_OBJECT = "detail_bare_object", _DETAIL, "an object, not a list of one", _unchanged
    DETAIL_IN_CONTENT = ("detail_in_content", _DETAIL, "an object whose `content` is the list",
        _unchanged)
    DETAIL_ROOT_DOCUMENTS = "detail_root_documents", _DETAIL, "`documentos` at the root", _unchanged
    DETAIL_BASIC_DATA = "detail_basic_data", _DETAIL, "`documentos` in `dadosBasicos`", _unchanged
    DETAIL_LAKE = ("detail_lake", _DETAIL, "the data lake's shape: `id`, no hrefs, many nulls",
        _unchanged)
    SIZES_UNLISTED = "sizes_unlisted", _DETAIL, "no document has `arquivo`", _unchanged
    # fmt: on
