"""The JSON of a case, as the portal and the data lake send it (docs/source.md#listings).

The JSON of a document is in `cases`. All people and their numbers are made up.
"""

from collections.abc import Collection
from typing import Final

from sandbox.cases.models import Case, InstanceNamedBy, Listing, timestamp
from sandbox.faults import FaultName
from sandbox.response_bodies import encoded

GRADES: Final = {
    "G1": ("PRIMEIRO_GRAU", "1º Grau", 1),
    "JE": ("PRIMEIRO_GRAU", "Juizado Especial", 1),
    "G2": ("SEGUNDO_GRAU", "2º Grau", 2),
    "TR": ("SEGUNDO_GRAU", "Turma Recursal", 2),
    "GS": ("TERCEIRO_GRAU", "Grau Superior", 3),
}
"""By short name: `instancia`, and the name and number of `grau`."""
PORTFOLIO_CPF: Final = "00000000272"
"""A party of the 250 cases a search by CPF pages through."""
PORTFOLIO_OAB: Final = "SP999999"
"""The lawyer of the same cases."""

_MOVEMENT_KINDS: Final = {"Decisão": (3, "Decisão"), "Despacho": (11010, "Mero expediente")}
_JOINED: Final = (67, "Juntada")
_Json = dict[str, object]


def detail(
    case: Case,
    base_url: str,
    faults: Collection[FaultName] = (),
    withheld: frozenset[str] = frozenset(),
) -> bytes:
    """The detail as sent.

    Args:
        case: the case.
        base_url: scheme and host as the client sees them.
        faults: those that shape the JSON of a case; others are ignored.
        withheld: UUIDs of documents to leave out.
    """
    if faults or withheld:
        return encoded(_shaped(case, base_url, faults, withheld))
    if base_url not in case.rendered:
        case.rendered[base_url] = encoded(_shaped(case, base_url, (), withheld))
    return case.rendered[base_url]


def _shaped(
    case: Case, base_url: str, faults: Collection[FaultName], withheld: frozenset[str]
) -> object:
    shown: dict[int, list[_Json]] = {id(listing): [] for listing in case.listings}
    in_lake = FaultName.DETAIL_LAKE in faults
    for document in case.documents.values():
        if document.uuid not in withheld:
            listed = document.lake_json() if in_lake else document.portal_json(base_url)
            if FaultName.SIZES_UNLISTED in faults:
                listed.pop("arquivo", None)
            shown[id(document.listing)].append(listed)
    current, *others = case.listings
    item: _Json = {
        "nivelSigilo": case.secrecy,
        "siglaTribunal": case.number.court,
        "numeroProcesso": case.number.masked,
    }
    if in_lake:
        item |= lake_extras(case)
    if FaultName.DETAIL_ROOT_DOCUMENTS in faults:
        item |= {"classe": classes(case), "assunto": subjects(case)}
        item["documentos"] = [each for listing in case.listings for each in shown[id(listing)]]
        return [item]
    now = _current(case, current, shown[id(current)])
    item["dadosBasicos" if FaultName.DETAIL_BASIC_DATA in faults else "tramitacaoAtual"] = now
    if others:
        item["tramitacoes"] = [_other(case, listing, shown[id(listing)]) for listing in others]
    if FaultName.DETAIL_BARE_OBJECT in faults:
        return item
    return {"content": [item]} if FaultName.DETAIL_IN_CONTENT in faults else [item]


def tribunal(case: Case) -> _Json:
    """The court."""
    digits = case.number.digits
    return {
        "sigla": case.number.court,
        "nome": f"Tribunal {case.number.court}",
        "segmento": case.number.segment,
        "jtr": digits[13:16],
    }


def grade(listing: Listing) -> _Json:
    """The instance, as `grau`."""
    _, name, level = GRADES[listing.instance]
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


def parties(case: Case) -> list[_Json]:
    """Two parties with lawyers; `odd_shapes` adds 240 other names, a secret one, bare integers."""
    serial = case.number.digits[2:7]
    # Some courts send it as an integer, without its leading zeros.
    registration: object = 191 if case.odd_shapes else "00000000191"
    lawyer: _Json = {
        "tipoRepresentacao": "ADVOGADO",
        "nome": "Beltrano Inventado",
        "cadastroReceitaFederal": [{"numero": registration, "tipo": "CPF"}],
    }
    if case.in_portfolio:
        lawyer["oab"] = [{"numero": PORTFOLIO_OAB[2:], "uf": PORTFOLIO_OAB[:2]}]
    number = PORTFOLIO_CPF if case.in_portfolio else f"000000{serial}"
    return [
        {
            "polo": "ATIVO",
            "nome": f"Fulana de Tal {int(serial)}",
            "outrosNomes": [
                {"nome": f"Fulana {i} de Tal", "tipo": "OUTRO_NOME"}
                for i in range(240 if case.odd_shapes else 1)
            ],
            "sigilosa": case.odd_shapes,
            "assistenciaJudiciariaGratuita": True,
            "documentosPrincipais": [{"numero": number, "tipo": "CPF"}],
            "representantes": [lawyer],
        },
        {
            "polo": "PASSIVO",
            "nome": "Empresa de Ensaio S.A.",
            "sigilosa": False,
            "documentosPrincipais": [{"numero": "00000000000191", "tipo": "CNPJ"}],
            "representantes": [{"tipoRepresentacao": "PROCURADORIA", "nome": "Sicrana de Exemplo"}],
        },
    ]


def movements(case: Case, listing: Listing, *, linked: bool = False) -> list[_Json]:
    """Newest first; a withheld piece leaves its movement behind, and TJSP its templates.

    With `linked`, as in searches and the data lake, two of three name the document they brought
    in, and have a type.
    """
    court = case.number.court
    uuids = {d.piece.origin_id: d.uuid for d in case.documents.values() if d.listing is listing}
    made: list[_Json] = []
    for place, piece in enumerate(listing.pieces):
        movement: _Json = {
            "dataHora": timestamp(piece.joined_at, court),
            "descricao": f"Juntada de {piece.kind}" + (" #{prazo}" if court == "TJSP" else ""),
        }
        if linked:
            movement |= {"sequencia": piece.sequence}
            if place % 3 != 2:
                code, name = _MOVEMENT_KINDS.get(piece.kind, _JOINED)
                movement |= {"idDocumento": uuids[piece.origin_id], "tipo": _kind(code, name)}
        made.append(movement)
    filed = timestamp(listing.filed_at, court)
    made.append({"dataHora": filed, "descricao": "Juntada de documento sob sigilo"})
    made.append({"dataHora": filed, "descricao": "Distribuído por sorteio"})
    return made


def _kind(code: int, name: str) -> _Json:
    return {
        "nome": name,
        "descricao": name,
        "hierarquia": f"(48) Escrivão/Diretor de Secretaria/Secretário Jurídico | ({code}) {name}",
        "complementos": [],
    }


def _common(case: Case, listing: Listing, documents: list[_Json]) -> _Json:
    common: _Json = {
        "idOrigem": f"{listing.source}{case.number.digits[:7]}",
        "dataHoraAjuizamento": timestamp(listing.filed_at, case.number.court),
        "instancia": GRADES[listing.instance][0],
        "grau": grade(listing),
        "valorAcao": 10000.5,
        "classe": classes(case),
        "assunto": subjects(case),
        "movimentos": movements(case, listing),
        "partes": parties(case),
        "tribunal": tribunal(case),
        "documentos": documents,
        "permitePeticionar": True,
        "ativo": True,
        "idFonteDadosCodex": listing.source,
    }
    if listing.instance_named_by is InstanceNamedBy.GRADE:
        del common["instancia"]
    if listing.instance_named_by is InstanceNamedBy.INSTANCE:
        del common["grau"]
    if case.odd_shapes:
        common["chaveDesconhecida"] = {"versao": [1, None, "x"]}
    return common


def _current(case: Case, listing: Listing, documents: list[_Json]) -> _Json:
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


def _other(case: Case, listing: Listing, documents: list[_Json]) -> _Json:
    return _common(case, listing, documents) | {
        "idCodex": 0,
        "distribuicoes": _distributions(case, listing),
        "liminar": False,
        "justicaGratuita": True,
        "nivelSigilo": case.secrecy,
    }


def _distributions(case: Case, listing: Listing) -> list[_Json]:
    body = {"id": -1, "nome": "1ª Vara de Ensaio", "jurisdicao": {"id": 1, "descricao": "Ensaio"}}
    made: _Json = {
        "dataHora": timestamp(listing.filed_at, case.number.court),
        "orgaoJulgador": [body],
    }
    if case.number.court.startswith("TJ"):
        made["orgaoJulgadorLocal"] = {
            "id": 77,
            "idOrigem": "0077",
            "nome": "1ª Vara Cível do Foro de Ensaio",
            "jurisdicaoLocal": {"id": 7, "descricao": "Comarca de Ensaio"},
        }
    if case.odd_shapes:
        # Some courts give the local body alone.
        del made["orgaoJulgador"]
    return [made]


def lake_extras(case: Case) -> _Json:
    """The members that only the data lake has."""
    changed = max(
        (piece.joined_at for each in case.listings for piece in each.pieces), default=None
    )
    updated = timestamp(changed, "") if changed else None
    return {
        "id": f"{case.number.court}_{case.number.digits}",
        "versao": 1,
        "numeroProcessoSintetico": None,
        "dataHoraAtualizacao": updated,
        "dataHoraUltimaAtualizacaoCodex": updated,
        "dataHoraPrimeiroAjuizamento": timestamp(case.listings[-1].filed_at, ""),
        "segmentoJustica": case.number.segment,
        "tipoOperacao": "INSERCAO",
        "situacaoAtual": None,
    }
