"""What each fault does to a reply (items 7 to 10 and 19 to 27). Pure functions, one per fault."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from sandbox import bodies
from sandbox.content import Content
from sandbox.faults import Fault, FaultName
from sandbox.reply import Reply, body_reply

JSON: Final = "application/json"
HTML: Final = "text/html; charset=utf-8"
TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Scene:
    """The request that is being answered."""

    path: str
    number: str
    """The case's digits; empty if the request names none."""
    document: str | None
    now: float
    """Seconds since 1970."""


Effect = Callable[[Reply, Fault, Scene], Reply]


def _answer(status: int, content_type: str | None, body: bytes) -> Effect:
    fixed = body_reply(body, content_type, status)
    return lambda _reply, _fault, _scene: fixed


def _no_access(status: int) -> Effect:
    return lambda _reply, _fault, scene: body_reply(
        bodies.no_access(status, scene.number), JSON, status
    )


def _codex_500(_reply: Reply, _fault: Fault, scene: Scene) -> Reply:
    body = bodies.codex_error(scene.path, scene.document, scene.number, scene.now)
    return body_reply(body, JSON, 500)


def _retry_after(_reply: Reply, fault: Fault, _scene: Scene) -> Reply:
    seconds = f"{fault.number('seconds', 1):g}"
    reply = body_reply(bodies.rate_limited(), JSON, 429)
    return replace(reply, headers=(("retry-after", seconds),))


def _reset(reply: Reply, fault: Fault, _scene: Scene) -> Reply:
    after = fault.parameters.get("after_bytes")
    return replace(reply, reset=True, after_bytes=None if after is None else _bytes(fault, reply))


def _truncated(reply: Reply, fault: Fault, _scene: Scene) -> Reply:
    return replace(reply, after_bytes=_bytes(fault, reply))


def _bytes(fault: Fault, reply: Reply) -> int:
    wanted = int(fault.number("after_bytes", reply.content.size // 2))
    return max(0, min(wanted, reply.content.size - 1))


def _size_mismatch(reply: Reply, fault: Fault, _scene: Scene) -> Reply:
    difference = int(fault.number("bytes", 1))
    content = reply.content
    if difference >= 0:
        return replace(reply, content=replace(content, tail=content.tail + b" " * difference))
    whole = content.read()
    return replace(reply, content=Content(content.media_type, whole[:difference]))


def _wrong_content_type(reply: Reply, fault: Fault, _scene: Scene) -> Reply:
    named = fault.parameters.get("content_type", "application/octet-stream")
    return replace(reply, content_type=str(named))


def _slow_first_byte(reply: Reply, fault: Fault, _scene: Scene) -> Reply:
    return replace(reply, first_byte_after=fault.number("seconds", 1))


def _trickle(reply: Reply, fault: Fault, _scene: Scene) -> Reply:
    return replace(reply, bytes_per_second=fault.number("bytes_per_second", 1000))


def _stall(reply: Reply, fault: Fault, _scene: Scene) -> Reply:
    return replace(reply, hang=True, after_bytes=_bytes(fault, reply))


EFFECTS: Final[dict[FaultName, Effect]] = {
    FaultName.UNAUTHORIZED_EMPTY: _answer(401, None, b""),
    FaultName.UNAUTHORIZED_JSON: _answer(401, JSON, bodies.unauthorized()),
    FaultName.NO_ACCESS: _no_access(401),
    FaultName.NO_ACCESS_403: _no_access(403),
    FaultName.BECOMES_SECRET: _no_access(401),
    FaultName.SECRET_PIECE_403: _answer(403, JSON, bodies.secret_piece()),
    FaultName.SECRET_PIECE_403_EMPTY: _answer(403, None, b""),
    FaultName.WAF_HTML: _answer(403, HTML, bodies.WAF),
    FaultName.CONNECTION_RESET: _reset,
    FaultName.CODEX_500: _codex_500,
    FaultName.BAD_GATEWAY_HTML: _answer(502, HTML, bodies.cloudfront(502)),
    FaultName.UNAVAILABLE_503_HTML: _answer(503, HTML, bodies.cloudfront(503)),
    FaultName.UNAVAILABLE_503_JSON: _answer(503, JSON, bodies.unavailable()),
    FaultName.GATEWAY_TIMEOUT_504: _answer(504, HTML, bodies.cloudfront(504)),
    FaultName.RATE_LIMITED: _answer(429, JSON, bodies.rate_limited()),
    FaultName.RATE_LIMITED_RETRY_AFTER: _retry_after,
    FaultName.STUB_CIRCUIT_BREAKER: _answer(200, TEXT, bodies.STUB_CIRCUIT_BREAKER),
    FaultName.STUB_CODEX_DOWN: _answer(200, TEXT, bodies.STUB_CODEX_DOWN),
    FaultName.STUB_CODEX_TIMEOUT: _answer(200, TEXT, bodies.STUB_CODEX_TIMEOUT),
    FaultName.JSON_ERROR_200: _answer(200, JSON, bodies.json_error()),
    FaultName.EMPTY_200: _answer(200, None, b""),
    FaultName.MAINTENANCE_HTML_200: _answer(200, HTML, bodies.MAINTENANCE),
    FaultName.SHELL_200: _answer(200, "text/html", bodies.SHELL),
    FaultName.TRUNCATED: _truncated,
    FaultName.SIZE_MISMATCH: _size_mismatch,
    FaultName.CHUNKED_NO_LENGTH: lambda reply, _f, _s: replace(reply, announce_length=False),
    FaultName.CHUNKED_TRUNCATED: lambda reply, fault, scene: replace(
        _truncated(reply, fault, scene), announce_length=False
    ),
    FaultName.WRONG_CONTENT_TYPE: _wrong_content_type,
    FaultName.MISSING_CONTENT_TYPE: lambda reply, _f, _s: replace(reply, content_type=None),
    FaultName.SLOW_FIRST_BYTE: _slow_first_byte,
    FaultName.TRICKLE: _trickle,
    FaultName.HANG: lambda reply, _f, _s: replace(reply, hang=True),
    FaultName.STALL: _stall,
    FaultName.NOT_FOUND_404: _answer(404, JSON, bodies.lake_not_found()),
    FaultName.NUMERIC_ID_400: _answer(400, JSON, bodies.bad_request()),
    FaultName.TINY: _answer(200, "text/html", bodies.TINY),
    FaultName.EMPTY_LISTING: _answer(200, JSON, b"[]"),
    FaultName.SEARCH_PAGE_FAILS: _answer(503, JSON, bodies.unavailable()),
}
"""The faults that are not here change a listing while it is made (`details`, `searches`)."""


def apply(faults: list[Fault], reply: Reply, scene: Scene) -> Reply:
    """The reply with the faults on top of it, in their order."""
    for fault in faults:
        if effect := EFFECTS.get(fault.fault):
            reply = effect(reply, fault, scene)
    return reply
