"""What each fault does to a reply, one function per fault."""

import gzip
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import formatdate
from math import ceil
from typing import Final

from autos.cnj import CaseNumber
from sandbox import bodies
from sandbox.faults import Fault, FaultName
from sandbox.files import Content
from sandbox.reply import Reply, body_reply

JSON: Final = "application/json"
HTML: Final = "text/html; charset=utf-8"
TEXT: Final = "text/plain; charset=utf-8"
XML: Final = "application/xml"


@dataclass(frozen=True, slots=True)
class Scene:
    """The request that is being answered."""

    path: str
    number: str
    """The case's digits; empty if the request names none."""
    document: str | None
    now: float
    """Seconds since 1970."""
    base_url: str = "http://127.0.0.1"
    """Scheme and host the client sees."""


LOGIN_PATH: Final = "/auth/realms/pje/protocol/openid-connect/auth"
STORAGE_PATH: Final = "/arquivos"
FOREIGN_URL: Final = "https://arquivos.exemplo.invalid"
OTHER_NUMBER: Final = CaseNumber.build(9_999_998, 2024, 8, 26, 100)


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


def _retry_after_date(_reply: Reply, fault: Fault, _scene: Scene) -> Reply:
    at = formatdate(ceil(time.time() + fault.number("seconds", 1)), usegmt=True)
    reply = body_reply(bodies.rate_limited(), JSON, 429)
    return replace(reply, headers=(("retry-after", at),))


def _accepted(_reply: Reply, fault: Fault, _scene: Scene) -> Reply:
    seconds = f"{fault.number('seconds', 1):g}"
    return replace(body_reply(b"", None, 202), headers=(("retry-after", seconds),))


def _other_status(_reply: Reply, fault: Fault, _scene: Scene) -> Reply:
    status = int(fault.number("status", 409))
    return body_reply(bodies.other_status(status), JSON, status)


def redirect(address: str) -> Reply:
    """302 to an address."""
    return replace(body_reply(b"", None, 302), headers=(("location", address),))


def signed_address(scene: Scene, host: str) -> str:
    """Where the file of a document is had without a token, on some name of this host."""
    scheme = scene.base_url.partition("://")[0]
    path = f"{STORAGE_PATH}/{scene.number}/{scene.document}"
    return f"{scheme}://{host}{path}?X-Amz-Signature=inventada"


def _redirect_own(_reply: Reply, fault: Fault, scene: Scene) -> Reply:
    own = scene.base_url.partition("://")[2]
    host, _, port = own.partition(":")
    other = {"localhost": "127.0.0.1"}.get(host, "localhost")
    named = fault.parameters.get("host", f"{other}:{port}" if port else other)
    return redirect(signed_address(scene, str(named)))


def _gzip(reply: Reply, _fault: Fault, _scene: Scene) -> Reply:
    packed = gzip.compress(reply.content.read(), mtime=0)
    headers = (*reply.headers, ("content-encoding", "gzip"))
    return replace(reply, content=Content(reply.content.media_type, packed), headers=headers)


def _gzip_truncated(reply: Reply, fault: Fault, scene: Scene) -> Reply:
    whole = _gzip(reply, fault, scene)
    half = whole.content.head[: whole.content.size // 2]
    return replace(whole, content=Content(whole.content.media_type, half))


def _short_length(reply: Reply, fault: Fault, _scene: Scene) -> Reply:
    return replace(reply, announced=int(fault.number("bytes", reply.content.size // 2)))


def _unequal(reply: Reply, _fault: Fault, _scene: Scene) -> Reply:
    # Whatever random bytes are added, a PDF still ends as one.
    content = reply.content
    tail = content.tail + b"\n%" + secrets.token_hex(3).encode()
    return replace(reply, content=replace(content, tail=tail))


def _latin1(reply: Reply, fault: Fault, _scene: Scene) -> Reply:
    body = reply.content.read().decode().encode("iso-8859-1", "replace")
    declared = fault.parameters.get("declared", True)
    return body_reply(body, f"{JSON};charset=ISO-8859-1" if declared else JSON, reply.status)


def _nested(reply: Reply, fault: Fault, _scene: Scene) -> Reply:
    depth = int(fault.number("depth", 600))
    before, brace, after = reply.content.read().partition(b"{")
    member = b'"aninhado":' + b"[" * depth + b"]" * depth + b","
    return body_reply(before + brace + member + after, JSON, reply.status)


def _other_number(reply: Reply, _fault: Fault, scene: Scene) -> Reply:
    if not scene.number:
        return reply
    asked = CaseNumber(scene.number)
    body = reply.content.read().replace(asked.masked.encode(), OTHER_NUMBER.masked.encode())
    body = body.replace(asked.digits.encode(), OTHER_NUMBER.digits.encode())
    return body_reply(body, JSON, reply.status)


def _gateway(_reply: Reply, _fault: Fault, scene: Scene) -> Reply:
    return body_reply(bodies.gateway_not_found(scene.path, scene.now), JSON, 404)


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
    FaultName.LOGIN_GOVBR_200: _answer(200, HTML, bodies.LOGIN_GOVBR),
    FaultName.LOGIN_PJE_200: _answer(200, HTML, bodies.LOGIN_PJE),
    FaultName.REQUEST_REJECTED_200: _answer(200, HTML, bodies.REQUEST_REJECTED),
    FaultName.JUST_A_MOMENT_200: _answer(200, HTML, bodies.JUST_A_MOMENT),
    FaultName.PROXY_ERROR_200: _answer(200, TEXT, bodies.PROXY_ERROR),
    FaultName.SERVER_ERROR_200: _answer(200, TEXT, bodies.SERVER_ERROR),
    FaultName.CODEX_ERROR_200: _answer(200, TEXT, bodies.CODEX_ERROR),
    FaultName.ACCESS_DENIED_200: _answer(200, XML, bodies.ACCESS_DENIED),
    FaultName.BLANKS_200: _answer(200, TEXT, bodies.BLANKS),
    FaultName.CUT_PDF_200: _answer(200, "application/pdf", bodies.CUT_PDF),
    FaultName.NOT_FOUND_GATEWAY: _gateway,
    FaultName.NOT_FOUND_HTML: _answer(404, "text/html", bodies.NOT_FOUND_HTML),
    FaultName.OTHER_STATUS: _other_status,
    FaultName.ACCEPTED_202: _accepted,
    FaultName.RETRY_AFTER_DATE: _retry_after_date,
    FaultName.REDIRECT_LOGIN: lambda _r, _f, scene: redirect(
        f"{scene.base_url}{LOGIN_PATH}?client_id=portalexterno-frontend&response_mode=fragment"
    ),
    FaultName.REDIRECT_OWN_HOST: _redirect_own,
    FaultName.REDIRECT_FOREIGN_HOST: lambda _r, _f, scene: redirect(FOREIGN_URL + scene.path),
    FaultName.REDIRECT_LOOP: lambda _r, _f, scene: redirect(scene.base_url + scene.path),
    FaultName.GZIP: _gzip,
    FaultName.GZIP_TRUNCATED: _gzip_truncated,
    FaultName.SHORT_CONTENT_LENGTH: _short_length,
    FaultName.SIZE_MISMATCH_UNEQUAL: _unequal,
    FaultName.LATIN1_JSON: _latin1,
    FaultName.NESTED: _nested,
    FaultName.OTHER_NUMBER: _other_number,
    FaultName.SEARCH_PAGE_FAILS: _answer(503, JSON, bodies.unavailable()),
}
"""The faults that are not here shape a listing while it is made (`details`, `searches`)."""


def apply(faults: list[Fault], reply: Reply, scene: Scene) -> Reply:
    """The reply with the faults on top of it, in their order."""
    for fault in faults:
        if effect := EFFECTS.get(fault.fault):
            reply = effect(reply, fault, scene)
    return reply
