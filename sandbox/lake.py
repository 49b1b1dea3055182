"""The data lake behind the portal, in its version 1 (docs/source.md#data-lake).

It takes the same tokens, knows the same cases and documents, and meets the same faults.
"""

import json
from dataclasses import replace
from typing import Final

from starlette.requests import Request
from starlette.routing import Route as Path

from sandbox.cases import Case
from sandbox.details import detail, movements, parties
from sandbox.effects import JSON, TEXT, signed_address
from sandbox.faults import FaultName, Route
from sandbox.portal import (
    Call,
    answer_binary,
    answer_search,
    answer_text,
    find_document,
    open_case,
)
from sandbox.reply import Reply, body_reply, json_reply

_BASE: Final = "/processo-api/api/v1"


def _detail(case: Case, call: Call) -> bytes:
    names = {fault.fault for fault in call.striking} | {FaultName.DETAIL_LAKE}
    return detail(case, call.base_url(), names)


async def _answer_detail(request: Request) -> Reply:
    call = Call(request, Route.DETAIL)
    case = open_case(call)
    if isinstance(case, Reply):
        return case
    return call.finished(body_reply(_detail(case, call), JSON))


async def _answer_part(request: Request) -> Reply:
    """One list of a case, by the last word of the path."""
    call = Call(request, Route.DETAIL)
    case = open_case(call)
    if isinstance(case, Reply):
        return case
    part = call.path.rpartition("/")[2]
    if part == "existe":
        return call.finished(json_reply(True))
    if part == "documentos":
        (item,) = json.loads(_detail(case, call))
        runs = [item["tramitacaoAtual"], *item.get("tramitacoes", [])]
        listed: list[object] = [document for run in runs for document in run["documentos"]]
    elif part == "movimentos":
        listed = [each for run in case.listings for each in movements(case, run, linked=True)]
    else:
        listed = list(parties(case))
    return call.finished(json_reply({"numeroProcesso": case.number.masked, part: listed}))


async def _answer_address(request: Request) -> Reply:
    """The address of a file for a while: 202 and `Retry-After` while the file is brought near."""
    call = Call(request, Route.DOCUMENT)
    found = find_document(call)
    if isinstance(found, Reply):
        return found
    if found.uuid not in call.world.fetched:
        call.world.fetched.add(found.uuid)
        accepted = replace(body_reply(b"", None, 202), headers=(("retry-after", "1"),))
        return call.finished(accepted)
    host = call.base_url().partition("://")[2]
    address = signed_address(call.scene(), host)
    return call.finished(body_reply(address.encode(), TEXT))


_CASE: Final = f"{_BASE}/processos/{{number}}"
_DOCUMENT: Final = f"{_CASE}/documentos/{{document}}"

ROUTES: Final = [
    Path(f"{_DOCUMENT}/binario", answer_binary),
    Path(f"{_DOCUMENT}/texto", answer_text),
    Path(f"{_DOCUMENT}/binario-url", _answer_address),
    *(
        Path(f"{_CASE}/{part}", _answer_part)
        for part in ("documentos", "movimentos", "partes", "existe")
    ),
    Path(_CASE, _answer_detail),
    Path(f"{_BASE}/processos", answer_search),
]
