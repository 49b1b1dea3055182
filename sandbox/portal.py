"""The portal's own routes: the API under `/api/v2`, the token endpoint, and the shell elsewhere.

A request meets, in this order: the firewall, the limit on bursts, the token, then what it asks for,
and on top of that the scripted faults. The data lake behind it is in `lake`.
"""

import re
import time
import uuid
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.routing import Route as Path

from autos.cnj import CaseNumber, InvalidCaseNumber
from sandbox import bodies, effects, searches
from sandbox.cases import Case, Document
from sandbox.details import detail
from sandbox.effects import JSON, LOGIN_PATH, STORAGE_PATH, XML, Scene
from sandbox.faults import Fault, FaultName, Route
from sandbox.reply import Reply, body_reply, json_reply
from sandbox.tokens import InvalidGrant
from sandbox.world import Firewall, TextForm, Unauthorized, Unknown, World

TOKEN_PATH: Final = "/auth/realms/pje/protocol/openid-connect/token"

_SHELL: Final = body_reply(bodies.SHELL, "text/html")
LAKE_NOT_FOUND: Final = body_reply(bodies.lake_not_found(), JSON, 404)


class Call:
    """One request to the API, and what answering it needs to know."""

    def __init__(self, request: Request, route: Route) -> None:
        self.request = request
        self.route = route
        self.world: World = request.app.state.world
        self.path = request.url.path
        self.number = _digits(request.path_params.get("number", ""))
        self.document: str | None = request.path_params.get("document", "").lower() or None
        self.striking: list[Fault] = []

    def refused(self) -> Reply | None:
        """The answer of the layers before the API, if they do not let the request pass."""
        world, headers = self.world, self.request.headers
        looks_like_browser = "Mozilla/" in headers.get("user-agent", "") and "referer" in headers
        if world.switches.firewall is not Firewall.OFF and not looks_like_browser:
            waf = body_reply(bodies.WAF, effects.HTML, 403)
            return replace(waf, reset=world.switches.firewall is Firewall.RESET)
        if not world.burst.passes(time.monotonic()):
            return body_reply(bodies.unavailable(), JSON, 503)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not world.tokens.accepts(token.strip()):
            if world.switches.unauthorized is Unauthorized.JSON:
                return body_reply(bodies.unauthorized(), JSON, 401)
            return body_reply(b"", None, 401)
        return None

    def strike(self) -> None:
        """Find out which faults strike, once per request."""
        self.striking = self.world.faults.striking(
            self.path, self.route, self.number or None, self.document
        )
        self.request.scope["logged"].faults = [fault.fault.value for fault in self.striking]

    def finished(self, reply: Reply) -> Reply:
        """The reply with its faults and the cookie."""
        if self.world.switches.session_cookie:
            cookie = "JSESSIONID=0000000000000000; Path=/; HttpOnly"
            reply = replace(reply, headers=(*reply.headers, ("set-cookie", cookie)))
        return effects.apply(self.striking, reply, self.scene())

    def scene(self) -> Scene:
        """What the faults know of the request."""
        return Scene(
            self.path, self.number, self.document, self.world.tokens.now(), self.base_url()
        )

    def case(self) -> Case | None:
        """The case the request names; None if it is unknown."""
        return self.world.catalogue.get(self.number)

    def base_url(self) -> str:
        """Scheme and host the client sees."""
        return str(self.request.base_url).rstrip("/")


def _digits(number: str) -> str:
    return re.sub(r"[.\-]", "", number)


async def _answer_detail(request: Request) -> Reply:
    call = Call(request, Route.DETAIL)
    case = open_case(call)
    if isinstance(case, Reply):
        return case
    names = {fault.fault for fault in call.striking}
    withheld = frozenset(
        str(fault.document) for fault in call.striking if fault.fault is FaultName.PIECE_WITHHELD
    )
    return call.finished(body_reply(detail(case, call.base_url(), names, withheld), JSON))


def open_case(call: Call) -> Case | Reply:
    """The case asked for, or the answer in place of it."""
    if refusal := call.refused():
        return refusal
    call.strike()
    case = call.case()
    if case is None:
        return call.finished(_unknown(call))
    if not case.accessible:
        return call.finished(body_reply(bodies.no_access(401, call.number), JSON, 401))
    return case


def _unknown(call: Call) -> Reply:
    try:
        CaseNumber.parse(call.number)
    except InvalidCaseNumber:
        return body_reply(bodies.bad_request(), JSON, 400)
    match call.world.switches.unknown:
        case Unknown.NOT_FOUND:
            return LAKE_NOT_FOUND
        case Unknown.EMPTY:
            return json_reply([])
        case Unknown.CODEX_500:
            scene = call.scene()
            return body_reply(
                bodies.codex_error(scene.path, None, call.number, scene.now), JSON, 500
            )


async def answer_search(request: Request) -> Reply:
    call = Call(request, Route.SEARCH)
    if refusal := call.refused():
        return refusal
    filters = dict(request.query_params)
    call.number = _digits(filters.get("numeroProcesso", ""))
    call.strike()
    return call.finished(_search(call, filters))


def _search(call: Call, filters: dict[str, str]) -> Reply:
    case = call.case()
    if case is not None and not case.accessible:
        return body_reply(bodies.no_access(403, call.number), JSON, 403)
    found = searches.matching(call.world.catalogue, filters)
    if not found:
        if call.world.switches.unknown is Unknown.EMPTY:
            return json_reply({"content": []})
        return LAKE_NOT_FOUND
    try:
        begin = searches.place(found, filters.get("searchAfter"))
        call.striking = [fault for fault in call.striking if not _other_page(fault, begin.page)]
        names = {fault.fault for fault in call.striking}
        return json_reply(searches.page(found, begin, names))
    except searches.NoSuchPage:
        return LAKE_NOT_FOUND


def _other_page(fault: Fault, page: int) -> bool:
    return fault.fault is FaultName.SEARCH_PAGE_FAILS and fault.number("page", 2) != page


async def answer_binary(request: Request) -> Reply:
    call = Call(request, Route.DOCUMENT)
    found = find_document(call)
    if isinstance(found, Reply):
        return found
    piece = found.piece
    served_as = piece.content.media_type if piece.served_as == "" else piece.served_as
    reply = Reply(piece.content, content_type=served_as)
    if piece.failure is not None:
        reply = effects.apply([Fault(fault=piece.failure)], reply, call.scene())
    reply = replace(reply, first_byte_after=call.world.switches.latency_ms / 1000)
    return call.finished(reply)


async def answer_text(request: Request) -> Reply:
    call = Call(request, Route.TEXT)
    found = find_document(call)
    if isinstance(found, Reply):
        return found
    text = found.piece.text
    if call.world.switches.text_form is TextForm.JSON:
        return call.finished(json_reply({"texto": text}))
    return call.finished(body_reply(text.encode(), effects.TEXT))


def find_document(call: Call) -> Document | Reply:
    """The document asked for, or the answer in place of it."""
    if refusal := call.refused():
        return refusal
    call.strike()
    try:
        uuid.UUID(call.document or "")
    except ValueError:
        return call.finished(body_reply(bodies.bad_request(), JSON, 400))
    case = call.case()
    if case is None:
        return call.finished(LAKE_NOT_FOUND)
    if not case.accessible:
        return call.finished(body_reply(bodies.no_access(401, call.number), JSON, 401))
    found = case.documents.get(call.document or "")
    return found if found is not None else call.finished(LAKE_NOT_FOUND)


async def _answer_token(request: Request) -> Reply:
    call = Call(request, Route.TOKEN)
    call.strike()
    failed = call.finished(json_reply({}))
    if failed.status != 200:
        # Nothing was done, so the refresh token is still good.
        return failed
    form = parse_qs((await request.body()).decode("utf-8", "replace"))
    if form.get("grant_type") != ["refresh_token"]:
        return call.finished(json_reply({"error": "unauthorized_client"}, 400))
    try:
        grant = call.world.tokens.refresh(form.get("refresh_token", [""])[0])
    except InvalidGrant:
        error = {"error": "invalid_grant", "error_description": "Invalid refresh token"}
        return call.finished(json_reply(error, 400))
    answer = {
        "access_token": grant.access_token,
        "expires_in": grant.expires_in,
        "refresh_expires_in": grant.refresh_expires_in,
        "refresh_token": grant.refresh_token,
        "token_type": "Bearer",
        "id_token": grant.access_token,
        "session_state": "00000000-0000-4000-8000-000000000000",
        "scope": "openid",
    }
    return call.finished(json_reply(answer))


async def _answer_storage(request: Request) -> Reply:
    """A file at a signed address, as an object store gives it: without a token, or not at all."""
    if "authorization" in request.headers:
        return body_reply(bodies.TWO_CREDENTIALS, XML, 400)
    world: World = request.app.state.world
    case = world.catalogue.get(request.path_params["number"])
    found = case.documents.get(request.path_params["document"]) if case else None
    if found is None or "X-Amz-Signature" not in request.query_params:
        return body_reply(bodies.ACCESS_DENIED, XML, 403)
    return Reply(found.piece.content, content_type="application/octet-stream")


async def _answer_login(_request: Request) -> Reply:
    return body_reply(bodies.LOGIN_PJE, effects.HTML)


async def _answer_gateway(request: Request) -> Reply:
    """No such route in the API."""
    call = Call(request, Route.DETAIL)
    if refusal := call.refused():
        return refusal
    body = bodies.gateway_not_found(call.path, call.world.tokens.now())
    return body_reply(body, JSON, 404)


async def _answer_shell(_request: Request) -> Reply:
    return _SHELL


_DOCUMENT: Final = "/api/v2/processos/{number}/documentos/{document}"

ROUTES: Final = [
    Path(f"{_DOCUMENT}/binario", answer_binary),
    Path(f"{_DOCUMENT}/texto", answer_text),
    Path("/api/v2/processos/{number}", _answer_detail),
    Path("/api/v2/processos", answer_search),
    Path("/api/v2/processos/", answer_search),
    Path(TOKEN_PATH, _answer_token, methods=["POST"]),
    Path(LOGIN_PATH, _answer_login),
    Path(f"{STORAGE_PATH}/{{number}}/{{document}}", _answer_storage),
    Path("/api/{rest:path}", _answer_gateway),
    Path("/{rest:path}", _answer_shell),
]
