"""Listings of one synthetic process, and of parts of it."""

import uuid
from typing import Any

from autos.cnj import CaseNumber
from autos.source.listing.models import ListedProcess
from autos.source.listing.parse import parse_process

BASE = "https://portal.example"
NUMBER = CaseNumber.parse("9990001-21.2024.4.03.6100")
OTHER = CaseNumber.parse("9990002-86.2024.8.26.0100")


def identity(seed: object) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(seed)))


def document(seed: object, **fields: Any) -> dict[str, Any]:
    """A document with an address; fields that are None are omitted."""
    path = f"/processos/{NUMBER.masked}/documentos/{identity(seed)}"
    listed = {
        "sequencia": 1,
        "dataHoraJuntada": "2024-05-02T10:11:12.345",
        "idOrigem": str(seed),
        "nome": "Petição Inicial.pdf",
        "nivelSigilo": "PUBLICO",
        "tipo": {"codigo": 58, "nome": "Petição inicial"},
        "hrefBinario": f"{path}/binario",
        "hrefTexto": f"{path}/texto",
        "arquivo": {"tipo": "application/pdf", "tamanho": 50307, "tamanhoTexto": 8120},
    }
    return {key: value for key, value in (listed | fields).items() if value is not None}


def run(*documents: Any, grade: str = "G1", **fields: Any) -> dict[str, Any]:
    return {
        "grau": {"sigla": grade},
        "tribunal": {"sigla": "TRF3"},
        "documentos": list(documents),
    } | fields


def detail(**fields: Any) -> list[dict[str, Any]]:
    return [{"numeroProcesso": NUMBER.masked, "nivelSigilo": 0, "siglaTribunal": "TRF3"} | fields]


def parse(payload: object) -> ListedProcess:
    return parse_process(NUMBER, payload, BASE)
