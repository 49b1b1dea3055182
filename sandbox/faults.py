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
    """The kinds of requests faults are told apart by."""

    DETAIL = "detail"
    SEARCH = "search"
    DOCUMENT = "document"
    TEXT = "text"
    TOKEN = "token"


_API: Final = frozenset(Route) - {Route.TOKEN}
_FILES: Final = frozenset({Route.DOCUMENT})
_SEARCH: Final = frozenset({Route.SEARCH})
_DETAIL: Final = frozenset({Route.DETAIL})


class FaultName(StrEnum):
    """Every fault; the routes are those it strikes unless it is told others."""

    routes: frozenset[Route]
    description: str

    def __new__(cls, value: str, routes: frozenset[Route], description: str) -> Self:
        """A member; `description` is one line for people."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.routes = routes
        member.description = description
        return member

    UNAUTHORIZED_EMPTY = "unauthorized_empty", _API, "401 without body or Content-Type (7)"
    UNAUTHORIZED_JSON = "unauthorized_json", _API, "401 JSON with an empty message (7)"
    NO_ACCESS = "no_access", _API, "401 JSON 'não possui acesso ao processo' (8)"
    NO_ACCESS_403 = "no_access_403", _API, "403 JSON 'não possui acesso ao processo' (8)"
    BECOMES_SECRET = "becomes_secret", _FILES, "listed, but downloads answer like no_access (27)"
    SECRET_PIECE_403 = "secret_piece_403", _FILES, "403 JSON on a document (27)"
    SECRET_PIECE_403_EMPTY = "secret_piece_403_empty", _FILES, "403 without a body (27)"
    WAF_HTML = "waf_html", _API, "403 with the firewall's HTML (10)"
    CONNECTION_RESET = "connection_reset", _API, "RST; after parameter `after_bytes` if given (26)"
    CODEX_500 = "codex_500", _FILES, "500 'Erro interno na API do Codex.' (20)"
    BAD_GATEWAY_HTML = "bad_gateway_html", _API, "502 with CloudFront's HTML (21)"
    UNAVAILABLE_503_HTML = "unavailable_503_html", _API, "503 with CloudFront's HTML (21)"
    UNAVAILABLE_503_JSON = "unavailable_503_json", _API, "503 JSON 'Serviço indisponível' (21)"
    GATEWAY_TIMEOUT_504 = "gateway_timeout_504", _API, "504 with CloudFront's HTML (21)"
    RATE_LIMITED = "rate_limited", _API, "429 without Retry-After (22)"
    RATE_LIMITED_RETRY_AFTER = (
        "rate_limited_retry_after",
        _API,
        "429 with Retry-After, parameter `seconds` (default 1) (22)",
    )
    STUB_CIRCUIT_BREAKER = "stub_circuit_breaker", _FILES, "200, text of an open breaker (23)"
    STUB_CODEX_DOWN = "stub_codex_down", _FILES, "200, text 'Codex indisponível' (23)"
    STUB_CODEX_TIMEOUT = "stub_codex_timeout", _FILES, "200, text that Codex took too long (§8.4)"
    JSON_ERROR_200 = "json_error_200", _API, "200 with a JSON error (23)"
    EMPTY_200 = "empty_200", _API, "200 with an empty body (23)"
    MAINTENANCE_HTML_200 = "maintenance_html_200", _API, "200 with a maintenance page (23)"
    SHELL_200 = "shell_200", _API, "200 with the portal's single-page shell (23)"
    TRUNCATED = (
        "truncated",
        _FILES,
        "connection closed after `after_bytes` (default half), less than Content-Length (24)",
    )
    SIZE_MISMATCH = (
        "size_mismatch",
        _FILES,
        "the body is `bytes` longer than listed (default 1; negative: shorter) (24)",
    )
    CHUNKED_NO_LENGTH = "chunked_no_length", _FILES, "chunked, without Content-Length (24)"
    CHUNKED_TRUNCATED = "chunked_truncated", _FILES, "chunked, closed after half the body (24)"
    WRONG_CONTENT_TYPE = (
        "wrong_content_type",
        _FILES,
        "Content-Type of parameter `content_type` (default application/octet-stream) (25)",
    )
    MISSING_CONTENT_TYPE = "missing_content_type", _FILES, "no Content-Type (25)"
    SLOW_FIRST_BYTE = "slow_first_byte", _API, "first byte after `seconds` (default 1) (26)"
    TRICKLE = "trickle", _FILES, "`bytes_per_second` (default 1000) (26)"
    HANG = "hang", _API, "no answer until the client goes (26)"
    STALL = "stall", _FILES, "half the body, then nothing until the client goes (26)"
    NOT_FOUND_404 = "not_found_404", _API, "404 JSON of the lake (19)"
    NUMERIC_ID_400 = "numeric_id_400", _FILES, "400, as for an id that is no UUID (28)"
    TINY = "tiny", _FILES, "the file is `<p>Segue anexo.</p>`, real but tiny (§9)"
    PIECE_WITHHELD = "piece_withheld", _DETAIL, "the document is missing from the list (27)"
    EMPTY_LISTING = "empty_listing", _DETAIL, "200 with [] (19)"
    SEARCH_END_404 = "search_end_404", _SEARCH, "the page after the last is 404 (29; the default)"
    SEARCH_END_EMPTY = "search_end_empty", _SEARCH, "the page after the last has no items (29)"
    SEARCH_END_NULL = "search_end_null", _SEARCH, "the page after the last has content null (29)"
    SEARCH_SPLIT_ITEM = "search_split_item", _SEARCH, "one content item per tramitação (29)"
    SEARCH_PAGE_FAILS = (
        "search_page_fails",
        _SEARCH,
        "503 on page `page` (default 2, the first is 1) (29)",
    )


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
