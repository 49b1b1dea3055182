"""The JSON of a case's detail, as the portal sends it (§5.2, §5.3)."""

from datetime import datetime

from sandbox.bodies import encoded
from sandbox.cases import Address, Case, Document, Listing
from sandbox.people import parties

_GRADES = {"G1": ("PRIMEIRO_GRAU", "1º Grau", 1), "G2": ("SEGUNDO_GRAU", "2º Grau", 2)}
_FOREIGN = "https://arquivos.exemplo.invalid"


def detail(case: Case, base_url: str, withheld: frozenset[str] = frozenset()) -> bytes:
    """The array of one object; `withheld` are UUIDs of documents to leave out."""
    if withheld:
        return _render(case, base_url, withheld)
    if base_url not in case.rendered:
        case.rendered[base_url] = _render(case, base_url, withheld)
    return case.rendered[base_url]


def stamp(at: datetime, court: str) -> str:
    """A moment without zone, 0 to 3 fraction digits, none in TJSP."""
    if court == "TJSP" or at.microsecond == 0:
        return at.isoformat(timespec="seconds")
    return at.isoformat(timespec="milliseconds").rstrip("0").rstrip(".")


def tribunal(case: Case) -> dict[str, object]:
    """The court."""
    digits = case.number.digits
    return {
        "sigla": case.number.court,
        "nome": f"Tribunal {case.number.court}",
        "segmento": case.number.segment,
        "jtr": digits[13:16],
    }


def grade(listing: Listing) -> dict[str, object]:
    """The instance."""
    _, name, level = _GRADES[listing.instance]
    return {"sigla": listing.instance, "nome": name, "numero": level}


def classes(case: Case) -> object:
    """A list, but an object in some courts."""
    named = {"codigo": 7, "descricao": "PROCEDIMENTO COMUM CÍVEL"}
    return named if case.odd_shapes else [named]


def subjects(case: Case) -> object:
    """A list, but text in some courts."""
    if case.odd_shapes:
        return "Indenização por Dano Moral"
    hierarchy = "(899) DIREITO CIVIL | (10433) Responsabilidade Civil"
    return [{"codigo": 10433, "descricao": "Indenização por Dano Moral", "hierarquia": hierarchy}]


def _render(case: Case, base_url: str, withheld: frozenset[str]) -> bytes:
    shown: dict[int, list[dict[str, object]]] = {id(listing): [] for listing in case.listings}
    for document in case.documents.values():
        if document.uuid not in withheld:
            shown[id(document.listing)].append(_document(case, document, base_url))
    current, *others = case.listings
    item: dict[str, object] = {
        "nivelSigilo": case.secrecy,
        "siglaTribunal": case.number.court,
        "numeroProcesso": case.number.masked,
        "tramitacaoAtual": _current(case, current, shown[id(current)]),
    }
    if others:
        item["tramitacoes"] = [_other(case, listing, shown[id(listing)]) for listing in others]
    return encoded([item])


def _common(case: Case, listing: Listing, documents: list[dict[str, object]]) -> dict[str, object]:
    common: dict[str, object] = {
        "idOrigem": f"{listing.source}{case.number.digits[:7]}",
        "dataHoraAjuizamento": stamp(listing.filed_at, case.number.court),
        "instancia": _GRADES[listing.instance][0],
        "grau": grade(listing),
        "valorAcao": 10000.5,
        "classe": classes(case),
        "assunto": subjects(case),
        "movimentos": _movements(case, listing),
        "partes": parties(case),
        "tribunal": tribunal(case),
        "documentos": documents,
        "permitePeticionar": True,
        "ativo": True,
        "idFonteDadosCodex": listing.source,
    }
    if case.odd_shapes:
        common["chaveDesconhecida"] = {"versao": [1, None, "x"]}
    return common


def _current(case: Case, listing: Listing, documents: list[dict[str, object]]) -> dict[str, object]:
    related = {
        "numeroProcesso": case.number.masked,
        "href": f"/processos/{case.number.digits}",
        "tipoRelacao": "DEPENDENTE",
        "classe": {"id": 7, "descricao": "PROCEDIMENTO COMUM CÍVEL"},
        "ativo": True,
    }
    return _common(case, listing, documents) | {
        "distribuicao": _distributions(case, listing),
        "processosRelacionados": [related],
    }


def _other(case: Case, listing: Listing, documents: list[dict[str, object]]) -> dict[str, object]:
    return _common(case, listing, documents) | {
        "idCodex": 0,
        "distribuicoes": _distributions(case, listing),
        "liminar": False,
        "justicaGratuita": True,
        "nivelSigilo": case.secrecy,
    }


def _distributions(case: Case, listing: Listing) -> list[dict[str, object]]:
    body = {"id": -1, "nome": "1ª Vara de Ensaio", "jurisdicao": {"id": 1, "descricao": "Ensaio"}}
    return [{"dataHora": stamp(listing.filed_at, case.number.court), "orgaoJulgador": [body]}]


def _movements(case: Case, listing: Listing) -> list[dict[str, object]]:
    """Newest first; a withheld piece leaves its movement behind, and TJSP its templates."""
    court = case.number.court
    movements: list[dict[str, object]] = [
        {
            "dataHora": stamp(piece.joined_at, court),
            "descricao": f"Juntada de {piece.kind}" + (" #{prazo}" if court == "TJSP" else ""),
        }
        for piece in listing.pieces
    ]
    filed = stamp(listing.filed_at, court)
    movements.append({"dataHora": filed, "descricao": "Juntada de documento sob sigilo"})
    movements.append({"dataHora": filed, "descricao": "Distribuído por sorteio"})
    return movements


def _document(case: Case, document: Document, base_url: str) -> dict[str, object]:
    piece = document.piece
    kind: dict[str, object] = {} if piece.kind_code is None else {"codigo": piece.kind_code}
    kind |= {"nome": piece.kind, "idCodex": 123, "idOrigem": "12"}
    shown: dict[str, object] = {
        "sequencia": piece.sequence,
        "dataHoraJuntada": stamp(piece.joined_at, case.number.court),
        "idCodex": document.codex_id,
        "idOrigem": piece.origin_id,
        "nome": piece.name,
        "nivelSigilo": piece.secrecy,
        "tipo": kind,
    }
    shown |= _hrefs(case, document, base_url)
    if document.described:
        shown["arquivo"] = {
            "tipo": piece.declared_as or piece.content.media_type,
            "quantidadePaginas": 0,
            "quantidadeImagens": 0,
            "tamanho": piece.content.size,
            "tamanhoTexto": len(piece.text),
        }
    return shown


def _hrefs(case: Case, document: Document, base_url: str) -> dict[str, object]:
    path = f"/processos/{case.number.masked}/documentos/{document.uuid}"
    match document.piece.address:
        case Address.NONE:
            return {}
        case Address.TEXT_ONLY:
            return {"hrefTexto": f"{path}/texto"}
        case Address.ABSOLUTE:
            prefix = f"{base_url}/api/v2"
        case Address.WITH_PREFIX:
            prefix = "/api/v2"
        case Address.FOREIGN:
            prefix = f"{_FOREIGN}/api/v2"
        case Address.RELATIVE:
            prefix = ""
    return {"hrefBinario": f"{prefix}{path}/binario", "hrefTexto": f"{prefix}{path}/texto"}
