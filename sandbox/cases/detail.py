"""The JSON of a case, as the portal and the data lake send it (docs/source.md#listings).

`models.Document` creates the JSON of a document. All people and their numbers are synthetic.
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
"""For each short name: `instancia`, and the name and number of `grau`."""
PORTFOLIO_CPF: Final = "00000000272"
"""The CPF of a party in the 250 cases of the portfolio."""
PORTFOLIO_OAB: Final = "SP999999"
"""The OAB registration of the lawyer in these cases."""

_MOVEMENT_KINDS: Final = {"Decisão": (3, "Decisão"), "Despacho": (11010, "Mero expediente")}
_JOINED: Final = (67, "Juntada")
_Json = dict[str, object]


def detail(
    case: Case,
    base_url: str,
    faults: Collection[FaultName] = (),
    withheld: frozenset[str] = frozenset(),
) -> bytes:
    """The encoded JSON of a case. It is cached if there are no faults.

    Args:
        case: the case.
        base_url: scheme and host of the URL that the client used.
        faults: faults that change the JSON; other faults are ignored.
        withheld: UUIDs of documents to omit.
    """
    if faults or withheld:
        return encoded(_build(case, base_url, faults, withheld))
    if base_url not in case.rendered:
        case.rendered[base_url] = encoded(_build(case, base_url, (), withheld))
    return case.rendered[base_url]


def _build(
    case: Case, base_url: str, faults: Collection[FaultName], withheld: frozenset[str]
) -> object:
    listed: dict[int, list[_Json]] = {id(listing): [] for listing in case.listings}
    in_lake = FaultName.DETAIL_LAKE in faults
    for document in case.documents.values():
        if document.uuid not in withheld:
            entry = document.lake_json() if in_lake else document.portal_json(base_url)
            if FaultName.SIZES_UNLISTED in faults:
                entry.pop("arquivo", None)
            listed[id(document.listing)].append(entry)
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
        item["documentos"] = [each for listing in case.listings for each in listed[id(listing)]]
        return [item]
    member = "dadosBasicos" if FaultName.DETAIL_BASIC_DATA in faults else "tramitacaoAtual"
    item[member] = _current(case, current, listed[id(current)])
    if others:
        item["tramitacoes"] = [_other(case, listing, listed[id(listing)]) for listing in others]
    if FaultName.DETAIL_BARE_OBJECT in faults:
        return item
    return {"content": [item]} if FaultName.DETAIL_IN_CONTENT in faults else [item]


def tribunal(case: Case) -> _Json:
    """The court, as `tribunal`."""
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
    """The class: a list in most courts, an object in others."""
    entry = {"codigo": 7, "descricao": "PROCEDIMENTO COMUM CÍVEL"}
    return entry if case.odd_shapes else [entry]


def subjects(case: Case) -> object:
    """The subjects: a list in most courts, text in others."""
    if case.odd_shapes:
        return "Indenização por Dano Moral"
    hierarchy = "(899) DIREITO CIVIL | (10433) Responsabilidade Civil"
    return [{"codigo": 10433, "descricao": "Indenização por Dano Moral", "hierarquia": hierarchy}]


def parties(case: Case) -> list[_Json]:
    """Two parties with lawyers.

    With `odd_shapes` the first party is secret and has 240 other names, and its lawyer's CPF is an
    integer.
    """
    serial = case.number.digits[2:7]
    # Some courts send the CPF as an integer, without leading zeros.
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
    """The movements of a listing, newest first.

    A withheld piece still has its movement, and texts of TJSP contain template variables. With
    `linked`, as in searches and the data lake, two of three movements have a type and the UUID of
    the document that they added.
    """
    court = case.number.court
    uuids = {d.piece.origin_id: d.uuid for d in case.documents.values() if d.listing is listing}
    entries: list[_Json] = []
    for position, piece in enumerate(listing.pieces):
        movement: _Json = {
            "dataHora": timestamp(piece.joined_at, court),
            "descricao": f"Juntada de {piece.kind}" + (" #{prazo}" if court == "TJSP" else ""),
        }
        if linked:
            movement |= {"sequencia": piece.sequence}
            if position % 3 != 2:
                code, name = _MOVEMENT_KINDS.get(piece.kind, _JOINED)
                movement |= {"idDocumento": uuids[piece.origin_id], "tipo": _kind(code, name)}
        entries.append(movement)
    filed = timestamp(listing.filed_at, court)
    entries.append({"dataHora": filed, "descricao": "Juntada de documento sob sigilo"})
    entries.append({"dataHora": filed, "descricao": "Distribuído por sorteio"})
    return entries


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
    distribution: _Json = {
        "dataHora": timestamp(listing.filed_at, case.number.court),
        "orgaoJulgador": [body],
    }
    if case.number.court.startswith("TJ"):
        distribution["orgaoJulgadorLocal"] = {
            "id": 77,
            "idOrigem": "0077",
            "nome": "1ª Vara Cível do Foro de Ensaio",
            "jurisdicaoLocal": {"id": 7, "descricao": "Comarca de Ensaio"},
        }
    if case.odd_shapes:
        # Some courts send only the local body.
        del distribution["orgaoJulgador"]
    return [distribution]


def lake_extras(case: Case) -> _Json:
    """The members of a case that only the data lake sends."""
    changed_at = max(
        (piece.joined_at for each in case.listings for piece in each.pieces), default=None
    )
    updated = timestamp(changed_at, "") if changed_at else None
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
