"""The routes of the source: the portal (`/api/v2`), the data lake behind it, the token endpoint.

A request must pass the firewall, the burst limit and the token check. Faults are then applied to
the reply of its route. For a new route, add a function and an entry in `ROUTES`. The data lake
(docs/source.md#data-lake) accepts the same tokens and serves the same cases.
"""

import json
import re
import time
import uuid
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.routing import Route as Path

from autos.cnj import CaseNumber, InvalidCaseNumber
from sandbox import response_bodies as bodies
from sandbox.cases import search as case_search
from sandbox.cases.detail import detail, movements, parties
from sandbox.cases.models import Case, Document
from sandbox.fault_schedule import Fault
from sandbox.faults import (
    LOGIN_PATH,
    STORAGE_PATH,
    FaultName,
    RequestInfo,
    Route,
    numeric_parameter,
    signed_url,
)
from sandbox.replies import HTML, JSON, TEXT, XML, Reply, body_reply, json_reply
from sandbox.state import Firewall, SandboxState, TextForm, Unauthorized, Unknown
from sandbox.tokens import InvalidGrant

_TOKEN_PATH: Final = "/auth/realms/pje/protocol/openid-connect/token"
_SHELL: Final = body_reply(bodies.SHELL, "text/html")
_NOT_FOUND: Final = body_reply(bodies.lake_not_found(), JSON, 404)


class Call:
    """A request to the source, with the faults that apply to it.

    Args:
        request: the request.
        route: the kind of request, which selects the faults.
    """

    def __init__(self, request: Request, route: Route) -> None:
        self.request = request
        self.route = route
        self.state: SandboxState = request.app.state.sandbox
        self.path = request.url.path
        self.number = _digits(request.path_params.get("number", ""))
        self.document: str | None = request.path_params.get("document", "").lower() or None
        self.faults: list[Fault] = []

    def rejection(self) -> Reply | None:
        """The reply of the firewall, burst limit or token check; None if the request passes."""
        switches, headers = self.state.switches, self.request.headers
        looks_like_browser = "Mozilla/" in headers.get("user-agent", "") and "referer" in headers
        if switches.firewall is not Firewall.OFF and not looks_like_browser:
            waf = body_reply(bodies.WAF, HTML, 403)
            return replace(waf, reset=switches.firewall is Firewall.RESET)
        if not self.state.burst.passes(time.monotonic()):
            return body_reply(bodies.unavailable(), JSON, 503)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self.state.tokens.accepts(token.strip()):
            if switches.unauthorized is Unauthorized.JSON:
                return body_reply(bodies.unauthorized(), JSON, 401)
            return body_reply(b"", None, 401)
        return None

    def select_faults(self) -> None:
        """Find the faults that apply. Call it once per request, because it counts the request."""
        self.faults = self.state.faults.applying(
            self.path, self.route, self.number or None, self.document
        )
        self.request.scope["logged"].faults = [fault.fault.value for fault in self.faults]

    def finish(self, reply: Reply) -> Reply:
        """Add the session cookie to the reply, and apply the faults."""
        if self.state.switches.session_cookie:
            cookie = "JSESSIONID=0000000000000000; Path=/; HttpOnly"
            reply = replace(reply, headers=(*reply.headers, ("set-cookie", cookie)))
        for fault in self.faults:
            reply = fault.fault.effect(reply, fault.parameters, self.info())
        return reply

    def info(self) -> RequestInfo:
        """The properties of the request that faults use."""
        return RequestInfo(
            self.path, self.number, self.document, self.state.tokens.now(), self.base_url()
        )

    def case(self) -> Case | None:
        """The requested case; None if it is unknown."""
        return self.state.cases.get(self.number)

    def base_url(self) -> str:
        """Scheme and host of the URL that the client used."""
        return str(self.request.base_url).rstrip("/")

    def fault_names(self) -> set[FaultName]:
        """The names of the faults that apply."""
        return {fault.fault for fault in self.faults}

    def find_case(self) -> Case | Reply:
        """The requested case, or the reply if it cannot be returned."""
        if rejection := self.rejection():
            return rejection
        self.select_faults()
        case = self.case()
        if case is None:
            return self.finish(self._unknown_case())
        if not case.accessible:
            return self.finish(body_reply(bodies.no_access(401, self.number), JSON, 401))
        return case

    def find_document(self) -> Document | Reply:
        """The requested document, or the reply if it cannot be returned."""
        if rejection := self.rejection():
            return rejection
        self.select_faults()
        try:
            uuid.UUID(self.document or "")
        except ValueError:
            return self.finish(body_reply(bodies.bad_request(), JSON, 400))
        case = self.case()
        if case is None:
            return self.finish(_NOT_FOUND)
        if not case.accessible:
            return self.finish(body_reply(bodies.no_access(401, self.number), JSON, 401))
        found = case.documents.get(self.document or "")
        return found if found is not None else self.finish(_NOT_FOUND)

    def _unknown_case(self) -> Reply:
        try:
            CaseNumber.parse(self.number)
        except InvalidCaseNumber:
            return body_reply(bodies.bad_request(), JSON, 400)
        match self.state.switches.unknown:
            case Unknown.NOT_FOUND:
                return _NOT_FOUND
            case Unknown.EMPTY:
                return json_reply([])
            case Unknown.CODEX_500:
                info = self.info()
                body = bodies.codex_error(info.path, None, self.number, info.now)
                return body_reply(body, JSON, 500)


def _digits(number: str) -> str:
    return re.sub(r"[.\-]", "", number)


async def _handle_detail(request: Request) -> Reply:
    call = Call(request, Route.DETAIL)
    case = call.find_case()
    if isinstance(case, Reply):
        return case
    withheld = frozenset(
        str(fault.document) for fault in call.faults if fault.fault is FaultName.PIECE_WITHHELD
    )
    body = detail(case, call.base_url(), call.fault_names(), withheld)
    return call.finish(body_reply(body, JSON))


async def _handle_search(request: Request) -> Reply:
    call = Call(request, Route.SEARCH)
    if rejection := call.rejection():
        return rejection
    filters = dict(request.query_params)
    call.number = _digits(filters.get("numeroProcesso", ""))
    call.select_faults()
    return call.finish(_search(call, filters))


def _search(call: Call, filters: dict[str, str]) -> Reply:
    case = call.case()
    if case is not None and not case.accessible:
        return body_reply(bodies.no_access(403, call.number), JSON, 403)
    found = case_search.matching(call.state.cases, filters)
    if not found:
        if call.state.switches.unknown is Unknown.EMPTY:
            return json_reply({"content": []})
        return _NOT_FOUND
    try:
        offset = case_search.read_offset(found, filters.get("searchAfter"))
        page = offset // case_search.PAGE_ITEMS + 1
        call.faults = [fault for fault in call.faults if not _is_for_other_page(fault, page)]
        return json_reply(case_search.page(found, offset, call.fault_names()))
    except case_search.NoSuchPage:
        return _NOT_FOUND


def _is_for_other_page(fault: Fault, page: int) -> bool:
    return (
        fault.fault is FaultName.SEARCH_PAGE_FAILS
        and numeric_parameter(fault.parameters, "page", 2) != page
    )


async def _handle_binary(request: Request) -> Reply:
    call = Call(request, Route.DOCUMENT)
    found = call.find_document()
    if isinstance(found, Reply):
        return found
    piece = found.piece
    served_as = piece.content.media_type if piece.served_as == "" else piece.served_as
    reply = Reply(piece.content, content_type=served_as)
    if piece.failure is not None:
        reply = piece.failure.effect(reply, {}, call.info())
    reply = replace(reply, first_byte_after=call.state.switches.latency_ms / 1000)
    return call.finish(reply)


async def _handle_text(request: Request) -> Reply:
    call = Call(request, Route.TEXT)
    found = call.find_document()
    if isinstance(found, Reply):
        return found
    text = found.piece.text
    if call.state.switches.text_form is TextForm.JSON:
        return call.finish(json_reply({"texto": text}))
    return call.finish(body_reply(text.encode(), TEXT))


def _lake_detail(case: Case, call: Call) -> bytes:
    return detail(case, call.base_url(), call.fault_names() | {FaultName.DETAIL_LAKE})


async def _handle_lake_detail(request: Request) -> Reply:
    call = Call(request, Route.DETAIL)
    case = call.find_case()
    if isinstance(case, Reply):
        return case
    return call.finish(body_reply(_lake_detail(case, call), JSON))


async def _handle_lake_part(request: Request) -> Reply:
    """One list of a case; the last part of the path selects it."""
    call = Call(request, Route.DETAIL)
    case = call.find_case()
    if isinstance(case, Reply):
        return case
    part = call.path.rpartition("/")[2]
    if part == "existe":
        return call.finish(json_reply(True))
    if part == "documentos":
        (item,) = json.loads(_lake_detail(case, call))
        listings = [item["tramitacaoAtual"], *item.get("tramitacoes", [])]
        listed: list[object] = [each for listing in listings for each in listing["documentos"]]
    elif part == "movimentos":
        listed = [
            each for listing in case.listings for each in movements(case, listing, linked=True)
        ]
    else:
        listed = list(parties(case))
    return call.finish(json_reply({"numeroProcesso": case.number.masked, part: listed}))


async def _handle_lake_url(request: Request) -> Reply:
    """The signed URL of a file; the first request gets 202 and `Retry-After`."""
    call = Call(request, Route.DOCUMENT)
    found = call.find_document()
    if isinstance(found, Reply):
        return found
    if found.uuid not in call.state.prepared:
        call.state.prepared.add(found.uuid)
        accepted = replace(body_reply(b"", None, 202), headers=(("retry-after", "1"),))
        return call.finish(accepted)
    host = call.base_url().partition("://")[2]
    return call.finish(body_reply(signed_url(call.info(), host).encode(), TEXT))


async def _handle_token(request: Request) -> Reply:
    call = Call(request, Route.TOKEN)
    call.select_faults()
    faulty = call.finish(json_reply({}))
    if faulty.status != 200:
        # The refresh token stays valid.
        return faulty
    form = parse_qs((await request.body()).decode("utf-8", "replace"))
    if form.get("grant_type") != ["refresh_token"]:
        return call.finish(json_reply({"error": "unauthorized_client"}, 400))
    try:
        grant = call.state.tokens.refresh(form.get("refresh_token", [""])[0])
    except InvalidGrant:
        error = {"error": "invalid_grant", "error_description": "Invalid refresh token"}
        return call.finish(json_reply(error, 400))
    tokens = {
        "access_token": grant.access_token,
        "expires_in": grant.expires_in,
        "refresh_expires_in": grant.refresh_expires_in,
        "refresh_token": grant.refresh_token,
        "token_type": "Bearer",
        "id_token": grant.access_token,
        "session_state": "00000000-0000-4000-8000-000000000000",
        "scope": "openid",
    }
    return call.finish(json_reply(tokens))


async def _handle_storage(request: Request) -> Reply:
    """A file at its signed URL. Like an object store, it rejects a request with a token."""
    if "authorization" in request.headers:
        return body_reply(bodies.TWO_CREDENTIALS, XML, 400)
    state: SandboxState = request.app.state.sandbox
    case = state.cases.get(request.path_params["number"])
    found = case.documents.get(request.path_params["document"]) if case else None
    if found is None or "X-Amz-Signature" not in request.query_params:
        return body_reply(bodies.ACCESS_DENIED, XML, 403)
    return Reply(found.piece.content, content_type="application/octet-stream")


async def _handle_login(_request: Request) -> Reply:
    return body_reply(bodies.LOGIN_PJE, HTML)


async def _handle_gateway(request: Request) -> Reply:
    """404 of the gateway: the API has no such route."""
    call = Call(request, Route.DETAIL)
    if rejection := call.rejection():
        return rejection
    body = bodies.gateway_not_found(call.path, call.state.tokens.now())
    return body_reply(body, JSON, 404)


async def _handle_shell(_request: Request) -> Reply:
    return _SHELL


_PORTAL_CASE: Final = "/api/v2/processos/{number}"
_LAKE: Final = "/processo-api/api/v1"
_LAKE_CASE: Final = f"{_LAKE}/processos/{{number}}"
_DOCUMENT: Final = "documentos/{document}"

ROUTES: Final = [
    Path(f"{_LAKE_CASE}/{_DOCUMENT}/binario", _handle_binary),
    Path(f"{_LAKE_CASE}/{_DOCUMENT}/texto", _handle_text),
    Path(f"{_LAKE_CASE}/{_DOCUMENT}/binario-url", _handle_lake_url),
    *(
        Path(f"{_LAKE_CASE}/{part}", _handle_lake_part)
        for part in ("documentos", "movimentos", "partes", "existe")
    ),
    Path(_LAKE_CASE, _handle_lake_detail),
    Path(f"{_LAKE}/processos", _handle_search),
    Path(f"{_PORTAL_CASE}/{_DOCUMENT}/binario", _handle_binary),
    Path(f"{_PORTAL_CASE}/{_DOCUMENT}/texto", _handle_text),
    Path(_PORTAL_CASE, _handle_detail),
    Path("/api/v2/processos", _handle_search),
    Path("/api/v2/processos/", _handle_search),
    Path(_TOKEN_PATH, _handle_token, methods=["POST"]),
    Path(LOGIN_PATH, _handle_login),
    Path(f"{STORAGE_PATH}/{{number}}/{{document}}", _handle_storage),
    Path("/api/{rest:path}", _handle_gateway),
    Path("/{rest:path}", _handle_shell),
]
