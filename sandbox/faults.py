"""The faults that can be scripted, by name, and the book that says when each one strikes.

What a fault does to a reply is in `effects`. Faults are applied in the order they were added, later
ones on top of earlier ones. A random fault decides by its seed, the path, and which request for
that path it is, so that parallel requests meet the same faults in any order.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class Route(StrEnum):
    """The kinds of requests that faults distinguish."""

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


class FaultName(StrEnum):
    """Every fault; the routes are those it strikes unless `route` names another."""

    routes: frozenset[Route]
    description: str

    def __new__(cls, value: str, routes: frozenset[Route], description: str) -> Self:
        """A member; `description` is one line for people."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.routes = routes
        member.description = description
        return member

    UNAUTHORIZED_EMPTY = "unauthorized_empty", _API, "401 without body or Content-Type"
    UNAUTHORIZED_JSON = "unauthorized_json", _API, "401 JSON with an empty message"
    NO_ACCESS = "no_access", _API, "401 JSON 'não possui acesso ao processo'"
    NO_ACCESS_403 = "no_access_403", _API, "403 JSON 'não possui acesso ao processo'"
    BECOMES_SECRET = "becomes_secret", _FILES, "listed, but downloads answer like no_access"
    SECRET_PIECE_403 = "secret_piece_403", _FILES, "403 JSON on a document"
    SECRET_PIECE_403_EMPTY = "secret_piece_403_empty", _FILES, "403 without a body"
    WAF_HTML = "waf_html", _API, "403 with the firewall's HTML"
    CONNECTION_RESET = "connection_reset", _API, "RST; after parameter `after_bytes` if given"
    CODEX_500 = "codex_500", _FILES, "500 'Erro interno na API do Codex.'"
    BAD_GATEWAY_HTML = "bad_gateway_html", _API, "502 with CloudFront's HTML"
    UNAVAILABLE_503_HTML = "unavailable_503_html", _API, "503 with CloudFront's HTML"
    UNAVAILABLE_503_JSON = "unavailable_503_json", _API, "503 JSON 'Serviço indisponível'"
    GATEWAY_TIMEOUT_504 = "gateway_timeout_504", _API, "504 with CloudFront's HTML"
    RATE_LIMITED = "rate_limited", _API, "429 without Retry-After"
    RATE_LIMITED_RETRY_AFTER = (
        "rate_limited_retry_after",
        _API,
        "429 with Retry-After, parameter `seconds` (default 1)",
    )
    STUB_CIRCUIT_BREAKER = "stub_circuit_breaker", _FILES, "200, text of an open breaker"
    STUB_CODEX_DOWN = "stub_codex_down", _FILES, "200, text 'Codex indisponível'"
    STUB_CODEX_TIMEOUT = "stub_codex_timeout", _FILES, "200, text that Codex took too long"
    JSON_ERROR_200 = "json_error_200", _API, "200 with a JSON error"
    EMPTY_200 = "empty_200", _API, "200 with an empty body"
    MAINTENANCE_HTML_200 = "maintenance_html_200", _API, "200 with a maintenance page"
    SHELL_200 = "shell_200", _API, "200 with the portal's single-page shell"
    TRUNCATED = (
        "truncated",
        _FILES,
        "connection closed after `after_bytes` (default half), less than Content-Length",
    )
    SIZE_MISMATCH = (
        "size_mismatch",
        _FILES,
        "the body is `bytes` longer than listed (default 1; negative: shorter)",
    )
    CHUNKED_NO_LENGTH = "chunked_no_length", _FILES, "chunked, without Content-Length"
    CHUNKED_TRUNCATED = "chunked_truncated", _FILES, "chunked, closed after half the body"
    WRONG_CONTENT_TYPE = (
        "wrong_content_type",
        _FILES,
        "Content-Type of parameter `content_type` (default application/octet-stream)",
    )
    MISSING_CONTENT_TYPE = "missing_content_type", _FILES, "no Content-Type"
    SLOW_FIRST_BYTE = "slow_first_byte", _API, "first byte after `seconds` (default 1)"
    TRICKLE = "trickle", _FILES, "`bytes_per_second` (default 1000)"
    HANG = "hang", _API, "no answer until the client disconnects"
    STALL = "stall", _FILES, "half the body, then nothing until the client disconnects"
    NOT_FOUND_404 = "not_found_404", _API, "404 JSON of the lake"
    NUMERIC_ID_400 = "numeric_id_400", _FILES, "400, as for an id that is no UUID"
    TINY = "tiny", _FILES, "the file is `<p>Segue anexo.</p>`, real but tiny"
    PIECE_WITHHELD = "piece_withheld", _DETAIL, "the document is missing from the list"
    EMPTY_LISTING = "empty_listing", _DETAIL, "200 with []"
    SEARCH_END_404 = "search_end_404", _SEARCH, "the page after the last is 404 (the default)"
    SEARCH_END_EMPTY = "search_end_empty", _SEARCH, "the page after the last has no items"
    SEARCH_END_NULL = "search_end_null", _SEARCH, "the page after the last has content null"
    SEARCH_SPLIT_ITEM = "search_split_item", _SEARCH, "one content item per tramitação"
    SEARCH_PAGE_FAILS = (
        "search_page_fails",
        _SEARCH,
        "503 on page `page` (default 2, the first is 1)",
    )

    LOGIN_GOVBR_200 = "login_govbr_200", _FILES, "200 with gov.br's login page"
    LOGIN_PJE_200 = "login_pje_200", _FILES, "200 with the PJe's login page"
    REQUEST_REJECTED_200 = "request_rejected_200", _FILES, "200, firewall page 'Request Rejected'"
    JUST_A_MOMENT_200 = "just_a_moment_200", _FILES, "200, firewall page 'Just a moment...'"
    PROXY_ERROR_200 = "proxy_error_200", _FILES, "200, a proxy's text 'upstream connect error'"
    SERVER_ERROR_200 = "server_error_200", _FILES, "200, text 'Internal Server Error'"
    CODEX_ERROR_200 = "codex_error_200", _FILES, "200, text 'Erro interno na API do Codex.'"
    ACCESS_DENIED_200 = "access_denied_200", _FILES, "200 with an object store's AccessDenied"
    BLANKS_200 = "blanks_200", _FILES, "200, four blanks"
    CUT_PDF_200 = "cut_pdf_200", _FILES, "200, the nine bytes that a PDF begins with"
    NOT_FOUND_GATEWAY = "not_found_gateway", _API, "404 JSON of the gateway: no such route"
    NOT_FOUND_HTML = "not_found_html", _API, "404 with a web server's page"
    OTHER_STATUS = "other_status", _API, "the status of parameter `status` (default 409)"
    ACCEPTED_202 = "accepted_202", _FILES, "202 with Retry-After, parameter `seconds` (default 1)"
    RETRY_AFTER_DATE = (
        "retry_after_date",
        _API,
        "429 with Retry-After as a date, `seconds` (default 1) from now",
    )
    REDIRECT_LOGIN = "redirect_login", _API, "302 to the PJe's login page"
    REDIRECT_OWN_HOST = (
        "redirect_own_host",
        _FILES,
        "302 to a signed address of the file on another name of this host, or on parameter `host`; "
        "a token that comes with the signature is refused",
    )
    REDIRECT_FOREIGN_HOST = "redirect_foreign_host", _API, "302 to a host that does not exist"
    REDIRECT_LOOP = "redirect_loop", _API, "302 to the same address"
    GZIP = "gzip", _API, "the body is compressed"
    GZIP_TRUNCATED = (
        "gzip_truncated",
        _API,
        "the body is compressed and ends after half; the Content-Length is that of the half",
    )
    SHORT_CONTENT_LENGTH = (
        "short_content_length",
        _FILES,
        "the Content-Length says `bytes` (default half) and the whole body follows",
    )
    SIZE_MISMATCH_UNEQUAL = (
        "size_mismatch_unequal",
        _FILES,
        "the body is 8 bytes longer than listed, and another one each time",
    )
    LATIN1_JSON = (
        "latin1_json",
        _LISTS,
        "the JSON is in ISO-8859-1, which the Content-Type says unless `declared` is false",
    )
    NESTED = "nested", _LISTS, "an unknown member is nested `depth` (default 600) lists deep"
    OTHER_NUMBER = "other_number", _LISTS, "the answer is about a case of another number"
    DETAIL_BARE_OBJECT = "detail_bare_object", _DETAIL, "an object, not a list of one"
    DETAIL_IN_CONTENT = "detail_in_content", _DETAIL, "an object whose `content` is the list"
    DETAIL_ROOT_DOCUMENTS = "detail_root_documents", _DETAIL, "`documentos` at the root"
    DETAIL_BASIC_DATA = "detail_basic_data", _DETAIL, "`documentos` in `dadosBasicos`"
    DETAIL_LAKE = "detail_lake", _DETAIL, "the data lake's own shape: `id`, no hrefs, many nulls"
    SIZES_UNLISTED = "sizes_unlisted", _DETAIL, "no document has `arquivo`"


class When(BaseModel):
    """How often a fault strikes among the requests it fits."""

    model_config = ConfigDict(extra="forbid")

    mode: Literal["always", "first", "random"] = "always"
    count: int = Field(default=1, ge=0)
    """For `first`: the number of requests."""
    each: bool = False
    """For `first`: count every path on its own."""
    probability: float = Field(default=1.0, ge=0, le=1)
    seed: int = 0
    skip: int = Field(default=0, ge=0)
    """So many requests pass unharmed at first (with `each`: per path)."""


class Fault(BaseModel):
    """A scripted fault, as it is posted."""

    model_config = ConfigDict(extra="forbid")

    fault: FaultName
    process: str | None = None
    """The digits; None for all."""
    document: str | int | None = None
    """A UUID, or a position in the list, 0 the newest; None for all."""
    route: Route | None = None
    """Overrides the routes the fault is meant for."""
    when: When = Field(default_factory=When)
    parameters: dict[str, JsonValue] = Field(default_factory=dict)

    def number(self, parameter: str, default: float) -> float:
        """A numeric parameter."""
        value = self.parameters.get(parameter)
        return float(value) if isinstance(value, int | float | str) else default

    def fits(self, route: Route, process: str | None, document: str | None) -> bool:
        """True if the request is one this fault is about."""
        routes = {self.route} if self.route else self.fault.routes
        # A withheld piece is named by its document, but it is missing from the listing.
        any_document = self.document is None or self.fault is FaultName.PIECE_WITHHELD
        return (
            route in routes
            and self.process in (None, process)
            and (any_document or self.document == document)
        )


@dataclass
class Entry:
    """A fault in the book."""

    id: int
    fault: Fault
    fitted: int = 0
    """Requests it was about."""
    struck: int = 0
    seen: Counter[str] = field(default_factory=Counter)

    def strikes(self, path: str) -> bool:
        """Count one more request, and say whether the fault strikes it."""
        self.fitted += 1
        self.seen[path] += 1
        when = self.fault.when
        turn = (self.seen[path] if when.each else self.fitted) - when.skip
        match when.mode:
            case "always":
                struck = turn > 0
            case "first":
                struck = 0 < turn <= when.count
            case "random":
                drawn = hashlib.sha256(f"{when.seed}/{path}/{self.seen[path]}".encode()).digest()
                struck = turn > 0 and int.from_bytes(drawn[:6]) < when.probability * 2**48
        self.struck += struck
        return struck


class FaultBook:
    """The faults in force."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._next_id = 1

    def add(self, fault: Fault) -> int:
        """Put a fault in force; returns its id."""
        entry = Entry(self._next_id, fault)
        self._entries[entry.id] = entry
        self._next_id += 1
        return entry.id

    def remove(self, fault_id: int) -> bool:
        """False if there is no such fault."""
        return self._entries.pop(fault_id, None) is not None

    def clear(self) -> None:
        """Remove every fault."""
        self._entries.clear()

    def entries(self) -> list[Entry]:
        """Oldest first."""
        return list(self._entries.values())

    def striking(
        self, path: str, route: Route, process: str | None, document: str | None
    ) -> list[Fault]:
        """The faults that strike this request; each one's count goes on."""
        return [
            entry.fault
            for entry in self._entries.values()
            if entry.fault.fits(route, process, document) and entry.strikes(path)
        ]
