"""The pieces of the case of the demo: one of every kind that is known.

41 of the 43 can be had. One is a secret piece, and one the court's system never hands out.
"""

from datetime import timedelta

from autos.cnj import CaseNumber
from sandbox import files
from sandbox.cases import Address, Case, Listing, Piece
from sandbox.faults import FaultName
from sandbox.files import Content
from sandbox.shapes import moment, newest_first


class _Pile:
    """Pieces in the order they were joined, with a gap in the sequences now and then."""

    def __init__(self, number: CaseNumber) -> None:
        self.number = number
        self.pieces: list[Piece] = []
        self._sequence = 0

    def label(self, what: str) -> str:
        return f"{what} do processo {self.number.masked}, peca {len(self.pieces) + 1}"

    def add(
        self,
        name: str,
        content: Content,
        kind: str = "Petição",
        kind_code: int | None = 57,
        *,
        served_as: str | None = "",
        declared_as: str = "",
        described: bool = True,
        address: Address = Address.RELATIVE,
        failure: FaultName | None = None,
        notice: bool = False,
    ) -> None:
        # A piece in between is withheld: its sequence is missing.
        self._sequence += 2 if len(self.pieces) % 9 == 8 else 1
        joined_at = moment(self._sequence)
        if notice:
            joined_at = self.pieces[-1].joined_at + timedelta(milliseconds=3)
        self.pieces.append(
            Piece(
                name=name,
                content=content,
                sequence=self._sequence,
                joined_at=joined_at,
                origin_id=f"3{self._sequence:08}",
                kind=kind,
                kind_code=kind_code,
                served_as=served_as,
                declared_as=declared_as,
                described=described,
                address=address,
                failure=failure,
            )
        )


def make_demo(number: CaseNumber) -> Case:
    """The case of 43 documents, some 7 MB."""
    pile = _Pile(number)
    _ordinary(pile)
    _copies(pile)
    _odd_names(pile)
    _odd_types(pile)
    _failures(pile)
    return Case(number, (Listing(2501, "G1", newest_first(pile.pieces)),), "demo")


def _ordinary(pile: _Pile) -> None:
    pile.add(
        "Petição Inicial.pdf",
        files.pdf(pile.label("Peticao inicial"), 50_307),
        "Petição inicial",
        58,
    )
    pile.add("Procuração.pdf", files.pdf(pile.label("Procuracao"), 10_908), "Procuração", 161)
    for size in (13_257, 49_197, 109_961, 301_000, 1_241_713, 2_529_587, 2_400_000):
        pile.add(
            f"Documento {size}.pdf", files.pdf(pile.label("Anexo"), size), "Outros documentos", None
        )
    for size in (3_742, 11_291, 33_207, 64_000, 122_912):
        pile.add("Despacho.html", files.html(pile.label("Despacho"), size), "Despacho", 63)
    cover = b"<p>Segue o laudo.</p>"
    pile.add("Laudo Pericial.html", files.exactly(files.HTML, cover), "Laudo Pericial", 31)
    pile.add("Agendamento de Perícia.html", files.html("Pericia", 127), "Certidão", 46)
    pile.add("Sentença.rtf", files.rtf(pile.label("Sentenca"), 9_307), "Sentença", 50)
    pile.add("Relatório.rtf", files.rtf(pile.label("Relatorio"), 13_610), "Outros", None)
    pile.add("Contrato.docx", files.docx(pile.label("Contrato")), "Contrato", None)
    pile.add("Foto 1.png", files.png(pile.label("Foto")), "Fotografia", None)
    pile.add("Foto 2.jpg", files.jpeg(pile.label("Foto")), "Fotografia", None)


def _copies(pile: _Pile) -> None:
    """One order and its notices: equal bytes, moments apart."""
    order = files.html(pile.label("Decisao"), 12_345)
    pile.add("Decisão.html", order, "Decisão", 15)
    for _ in range(3):
        pile.add("Intimação.html", order, "Intimação", None, notice=True)
    attached = files.pdf(pile.label("Comprovante"), 20_480)
    pile.add("Comprovante.pdf", attached, "Comprovante", None)
    pile.add("Comprovante.pdf", attached, "Comprovante", None, notice=True)


def _odd_names(pile: _Pile) -> None:
    long_name = "Manifestação sobre os cálculos apresentados pela parte contrária " * 5
    for name in (
        "Contestação (réplica) à Ação nº 1  .pdf",
        "Guia 01/2024 - custas.pdf",
        f"{long_name.strip()}.pdf",
        "Documento sem extensão",
        "..\\..\\con:<aux>|*?.pdf",
        " ",
    ):
        pile.add(name, files.pdf(pile.label("Nome"), 15_000), "Outros documentos", None)
    pile.add("Planilha.html", files.pdf(pile.label("Extensao"), 15_000), "Planilha", None)


def _odd_types(pile: _Pile) -> None:
    pile.add(
        "Certidão.pdf",
        files.text(pile.label("Certidao"), 2_000),
        "Certidão",
        46,
        served_as=files.PDF,
        declared_as=files.PDF,
    )
    pile.add(
        "Ofício.pdf",
        files.pdf(pile.label("Oficio"), 18_000),
        "Ofício",
        12,
        served_as="application/octet-stream",
    )
    pile.add("Ata.pdf", files.pdf(pile.label("Ata"), 18_000), "Ata", 13, served_as=None)
    pile.add(
        "Termo.html",
        files.html_with_false_charset(pile.label("Termo"), 5_000),
        "Termo",
        14,
        served_as="text/html;charset=ISO-8859-1",
    )
    pile.add(
        "Peça sem arquivo.html",
        files.html(pile.label("Sem arquivo"), 11_291),
        "Petição",
        57,
        described=False,
    )
    pile.add(
        "Endereço inteiro.pdf",
        files.pdf(pile.label("Endereco"), 14_000),
        "Petição",
        57,
        address=Address.ABSOLUTE,
    )
    pile.add(
        "Endereço com prefixo.pdf",
        files.pdf(pile.label("Prefixo"), 14_000),
        "Petição",
        57,
        address=Address.WITH_PREFIX,
    )


def _failures(pile: _Pile) -> None:
    pile.add(
        "Documento sigiloso.pdf",
        files.pdf(pile.label("Sigilo"), 30_000),
        "Petição",
        57,
        failure=FaultName.SECRET_PIECE_403,
    )
    pile.add(
        "Peça ilegível.pdf",
        files.pdf(pile.label("Ilegivel"), 30_000),
        "Petição",
        57,
        failure=FaultName.CODEX_500,
    )
