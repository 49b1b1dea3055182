"""The case of the demo: 43 documents of all known kinds, 41 of which can be downloaded.

Of the other two, one is secret, and the court's system always returns an error for the other.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from autos.cnj import CaseNumber
from sandbox import files
from sandbox.cases.models import Address, Case, Listing, Piece
from sandbox.cases.shapes import create_piece, newest_first
from sandbox.faults import FaultName
from sandbox.files import Content


class _Pieces:
    """Builds the list of pieces, oldest first. Some sequence numbers are missing."""

    def __init__(self, number: CaseNumber) -> None:
        self.number = number
        self.pieces: list[Piece] = []
        self._sequence = 0

    def label(self, kind: str) -> str:
        return f"{kind} do processo {self.number.masked}, peca {len(self.pieces) + 1}"

    def add(
        self,
        name: str,
        content: Content,
        kind: str = "Petição",
        kind_code: int | None = 57,
        **fields: Any,
    ) -> None:
        """Add a piece; `fields` are other fields of `Piece`."""
        # The court withholds a piece before every ninth one, which leaves a gap in the sequence.
        self._sequence += 2 if len(self.pieces) % 9 == 8 else 1
        piece = create_piece(self._sequence, name, content)
        self.pieces.append(replace(piece, kind=kind, kind_code=kind_code, **fields))

    def add_notice(self, name: str, content: Content, kind: str) -> None:
        """Add a piece that was joined 3 ms after the previous one."""
        joined_at = self.pieces[-1].joined_at + timedelta(milliseconds=3)
        self.add(name, content, kind, None, joined_at=joined_at)


def create_demo(number: CaseNumber) -> Case:
    """The case of 43 documents, about 7 MB."""
    pieces = _Pieces(number)
    _ordinary(pieces)
    _copies(pieces)
    _odd_names(pieces)
    _odd_types(pieces)
    _failures(pieces)
    return Case(number, (Listing(2501, "G1", newest_first(pieces.pieces)),), "demo")


def _ordinary(pieces: _Pieces) -> None:
    pieces.add(
        "Petição Inicial.pdf",
        files.pdf(pieces.label("Peticao inicial"), 50_307),
        "Petição inicial",
        58,
    )
    pieces.add("Procuração.pdf", files.pdf(pieces.label("Procuracao"), 10_908), "Procuração", 161)
    for size in (13_257, 49_197, 109_961, 301_000, 1_241_713, 2_529_587, 2_400_000):
        attached = files.pdf(pieces.label("Anexo"), size)
        pieces.add(f"Documento {size}.pdf", attached, "Outros documentos", None)
    for size in (3_742, 11_291, 33_207, 64_000, 122_912):
        pieces.add("Despacho.html", files.html(pieces.label("Despacho"), size), "Despacho", 63)
    cover = b"<p>Segue o laudo.</p>"
    pieces.add("Laudo Pericial.html", files.exactly(files.HTML, cover), "Laudo Pericial", 31)
    pieces.add("Agendamento de Perícia.html", files.html("Pericia", 127), "Certidão", 46)
    pieces.add("Sentença.rtf", files.rtf(pieces.label("Sentenca"), 9_307), "Sentença", 50)
    pieces.add("Relatório.rtf", files.rtf(pieces.label("Relatorio"), 13_610), "Outros", None)
    pieces.add("Contrato.docx", files.docx(pieces.label("Contrato")), "Contrato", None)
    pieces.add("Foto 1.png", files.png(pieces.label("Foto")), "Fotografia", None)
    pieces.add("Foto 2.jpg", files.jpeg(pieces.label("Foto")), "Fotografia", None)


def _copies(pieces: _Pieces) -> None:
    """A decision and its notices: the same bytes, 3 ms apart."""
    decision = files.html(pieces.label("Decisao"), 12_345)
    pieces.add("Decisão.html", decision, "Decisão", 15)
    for _ in range(3):
        pieces.add_notice("Intimação.html", decision, "Intimação")
    attached = files.pdf(pieces.label("Comprovante"), 20_480)
    pieces.add("Comprovante.pdf", attached, "Comprovante", None)
    pieces.add_notice("Comprovante.pdf", attached, "Comprovante")


def _odd_names(pieces: _Pieces) -> None:
    long_name = "Manifestação sobre os cálculos apresentados pela parte contrária " * 5
    for name in (
        "Contestação (réplica) à Ação nº 1  .pdf",
        "Guia 01/2024 - custas.pdf",
        f"{long_name.strip()}.pdf",
        "Documento sem extensão",
        "..\\..\\con:<aux>|*?.pdf",
        " ",
    ):
        pieces.add(name, files.pdf(pieces.label("Nome"), 15_000), "Outros documentos", None)
    pieces.add("Planilha.html", files.pdf(pieces.label("Extensao"), 15_000), "Planilha", None)


def _odd_types(pieces: _Pieces) -> None:
    pieces.add(
        "Certidão.pdf",
        files.text(pieces.label("Certidao"), 2_000),
        "Certidão",
        46,
        served_as=files.PDF,
        declared_as=files.PDF,
    )
    pieces.add(
        "Ofício.pdf",
        files.pdf(pieces.label("Oficio"), 18_000),
        "Ofício",
        12,
        served_as="application/octet-stream",
    )
    pieces.add("Ata.pdf", files.pdf(pieces.label("Ata"), 18_000), "Ata", 13, served_as=None)
    pieces.add(
        "Termo.html",
        files.html_with_false_charset(pieces.label("Termo"), 5_000),
        "Termo",
        14,
        served_as="text/html;charset=ISO-8859-1",
    )
    pieces.add(
        "Peça sem arquivo.html",
        files.html(pieces.label("Sem arquivo"), 11_291),
        described=False,
    )
    pieces.add(
        "Endereço inteiro.pdf",
        files.pdf(pieces.label("Endereco"), 14_000),
        address=Address.ABSOLUTE,
    )
    pieces.add(
        "Endereço com prefixo.pdf",
        files.pdf(pieces.label("Prefixo"), 14_000),
        address=Address.WITH_PREFIX,
    )


def _failures(pieces: _Pieces) -> None:
    pieces.add(
        "Documento sigiloso.pdf",
        files.pdf(pieces.label("Sigilo"), 30_000),
        failure=FaultName.SECRET_PIECE_403,
    )
    pieces.add(
        "Peça ilegível.pdf",
        files.pdf(pieces.label("Ilegivel"), 30_000),
        failure=FaultName.CODEX_500,
    )
