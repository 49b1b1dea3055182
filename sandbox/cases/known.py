"""The cases of the sandbox: named cases, and cases that the control API created.

`docs/reference/sandbox.md` lists the named cases. Each is generated when it is first used. To add
one, add a function and an entry in `_NAMED`. Every other number is unknown. Created cases do not
survive a restart.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from autos.cnj import CaseNumber
from sandbox import files
from sandbox.cases.demo import create_demo
from sandbox.cases.models import Address, Case, InstanceNamedBy, Listing, Piece
from sandbox.cases.shapes import Shape, create_piece, generate_case, newest_first
from sandbox.faults import FaultName
from sandbox.files import Content

_FIRST_FREE: Final = 9_995_000
"""The sequence of the first case that is created without a number."""

GIANT_BYTES: Final = 300 * 1024 * 1024
THIRTY_BYTES: Final = 31_457_280


class NumberTaken(ValueError):
    """The number belongs to a named case."""


def _number(sequence: int, year: int, segment: int, court: int, origin: int) -> CaseNumber:
    return CaseNumber.build(sequence, year, segment, court, origin)


def _of_pieces(number: CaseNumber, name: str, pieces: list[Piece], source: int = 2501) -> Case:
    return Case(number, (Listing(source, "G1", newest_first(pieces)),), name)


def _small(number: CaseNumber) -> Case:
    # The court withholds the pieces in between: 7 documents, and the highest sequence is 91.
    pieces = [
        replace(piece, sequence=91 - 14 * i, kind_code=None if i % 3 == 0 else piece.kind_code)
        for i, piece in enumerate(generate_case(number, 7).original[0].pieces)
    ]
    return _of_pieces(number, "small", pieces)


def _secret(number: CaseNumber) -> Case:
    case = generate_case(number, 3, name="secret")
    case.accessible = False
    case.secrecy = 5
    return case


def _with_big_file(number: CaseNumber, name: str, documents: int, size: int) -> Case:
    *pieces, last = generate_case(number, documents).original[0].pieces
    content = files.pdf(f"Arquivo grande do processo {number.masked}", size)
    big = replace(last, name="Mídia da audiência.pdf", content=content)
    return _of_pieces(number, name, [*pieces, big])


def _ten_thousand(number: CaseNumber) -> Case:
    return generate_case(number, 10_000, size_bytes=200, name="ten-thousand")


def _odd_addresses(number: CaseNumber) -> Case:
    pieces = [
        replace(
            create_piece(
                i,
                f"Documento {address}.pdf",
                files.pdf(f"Endereco {address} do processo {number.masked}", 12_000),
            ),
            origin_id=f"PG5RP_{i:08}",
            address=address,
        )
        for i, address in enumerate(Address, start=1)
    ]
    return _of_pieces(number, "odd-addresses", pieces, source=2319)


def _odd_shapes(number: CaseNumber) -> Case:
    case = generate_case(number, 5, name="odd-shapes")
    case.odd_shapes = True
    return case


def _listed_otherwise(number: CaseNumber) -> Case:
    """Two sources of one instance, which name it in different members."""
    first, second = generate_case(number, 12, shape=Shape.LISTED_TWICE).original
    return Case(
        number,
        (
            replace(first, instance_named_by=InstanceNamedBy.GRADE),
            replace(second, instance_named_by=InstanceNamedBy.INSTANCE),
        ),
        "listed-otherwise",
    )


def _many_instances(number: CaseNumber) -> Case:
    """Five instances: the current one first, the others unordered."""
    pieces = generate_case(number, 20).original[0].pieces
    listings = tuple(
        Listing(2600 + i, instance, pieces[4 * i : 4 * i + 4])
        for i, instance in enumerate(("GS", "JE", "TR", "G1", "G2"))
    )
    return Case(number, listings, "many-instances")


def _secrecies(number: CaseNumber) -> Case:
    """A document of each secrecy level, as words or digits; levels above the second are refused."""
    refused = FaultName.SECRET_PIECE_403
    levels = (
        "PUBLICO",
        "SEGREDO_JUSTICA",
        "SIGILO_MINIMO",
        "SIGILO_MEDIO",
        "SIGILO_INTENSO",
        "SIGILO_ABSOLUTO",
        "0",
        "4",
    )
    pieces = [
        replace(
            piece,
            secrecy=level,
            failure=None if level in ("PUBLICO", "SEGREDO_JUSTICA", "0") else refused,
        )
        for piece, level in zip(
            generate_case(number, len(levels)).original[0].pieces, levels, strict=True
        )
    ]
    case = _of_pieces(number, "secrecies", pieces)
    case.secrecy = 1
    return case


def _of_contents(number: CaseNumber, name: str, contents: dict[str, Content]) -> Case:
    pieces = [
        replace(create_piece(i, file, content), kind="Outros documentos", kind_code=None)
        for i, (file, content) in enumerate(contents.items(), start=1)
    ]
    return _of_pieces(number, name, pieces)


def _media(number: CaseNumber) -> Case:
    """Recordings of hearings, and other files that have no pages."""
    label = f"Midia do processo {number.masked}"
    return _of_contents(
        number,
        "media",
        {
            "Audiência 1.wav": files.wav(label, 80_000),
            "Audiência 2.mp3": files.mp3(label, 60_000),
            "Audiência 3.mp4": files.mp4(label, 2_000_000),
            "Planta.svg": files.svg(label),
            "Correspondência.eml": files.mail(label),
            "Anexos.zip": files.archive(label),
        },
    )


def _suspicious_words(number: CaseNumber) -> Case:
    """Valid files with texts of error, login and firewall pages."""
    sso = '<p>Autos em <a href="https://sso.cloud.pje.jus.br/auth/realms/pje">PJe</a>.</p>'
    pages = {
        "Contrato.html": "<html><head><title>Contrato de manutenção de elevadores</title></head>"
        "<body><p>Cláusula 1ª. A manutenção será mensal.</p></body></html>",
        "Nota.html": "<html><head><title>500 Milhas Transportes Ltda</title></head>"
        "<body><p>Frete de 500 milhas.</p></body></html>",
        "Certidão.html": f"<div>{sso}<p>Certifico e dou fé.</p></div>",
        "Laudo.html": "<p>O servidor respondia 'Request Rejected' e 'Just a moment...'.</p>",
        "Perícia.html": "<p>O registro diz: CircuitBreaker 'x' does not permit further calls.</p>",
    }
    contents = {name: files.exactly(files.HTML, page.encode()) for name, page in pages.items()}
    contents["Prova.json"] = files.exactly(
        "application/json", b'{"code":500,"message":"Registro da conversa","mensagens":[]}'
    )
    contents["Certidão do Codex.txt"] = files.exactly(
        files.TEXT,
        "Certifico que o Codex foi consultado; o streaming está nos autos.\n".encode(),
    )
    return _of_contents(number, "suspicious-words", contents)


def _wrong_sizes(number: CaseNumber) -> Case:
    """The listed sizes are wrong, and the bytes are the same at every request."""
    pieces = generate_case(number, 4).original[0].pieces
    return _of_pieces(
        number,
        "wrong-sizes",
        [replace(piece, listed_size=piece.content.size + 7) for piece in pieces],
    )


def _text_only(number: CaseNumber) -> Case:
    """Documents with a text but no file."""
    pieces = generate_case(number, 3).original[0].pieces
    return _of_pieces(
        number, "text-only", [replace(piece, address=Address.TEXT_ONLY) for piece in pieces]
    )


def _refused(number: CaseNumber) -> Case:
    """The documents are listed, but each download returns 401."""
    refused = FaultName.UNAUTHORIZED_EMPTY
    pieces = generate_case(number, 50).original[0].pieces
    return _of_pieces(number, "refused", [replace(piece, failure=refused) for piece in pieces])


def _portfolio(number: CaseNumber) -> Case:
    case = generate_case(number, 1, name=f"portfolio-{int(number.digits[:7]) - 9_992_000}")
    case.in_portfolio = True
    return case


_NAMED: Final[dict[str, tuple[CaseNumber, Callable[[CaseNumber], Case]]]] = {
    "demo": (_number(9990001, 2024, 4, 3, 6100), create_demo),
    "listed-twice": (
        _number(9990002, 2024, 8, 26, 100),
        partial(generate_case, documents=173, shape=Shape.LISTED_TWICE, name="listed-twice"),
    ),
    "two-instances": (
        _number(9990003, 2025, 4, 1, 3400),
        partial(generate_case, documents=24, shape=Shape.TWO_INSTANCES, name="two-instances"),
    ),
    "small": (_number(9990004, 2025, 8, 11, 41), _small),
    "empty": (
        _number(9990005, 2023, 5, 2, 1),
        partial(generate_case, documents=0, name="empty"),
    ),
    "secret": (_number(9990006, 2024, 3, 0, 0), _secret),
    "thirty": (
        _number(9990030, 2024, 4, 3, 6100),
        partial(_with_big_file, name="thirty", documents=30, size=THIRTY_BYTES),
    ),
    "thousand": (
        _number(9990100, 2024, 4, 3, 6100),
        partial(generate_case, documents=1_000, name="thousand"),
    ),
    "ten-thousand": (_number(9990101, 2024, 4, 3, 6100), _ten_thousand),
    "giant": (
        _number(9990102, 2024, 4, 3, 6100),
        partial(_with_big_file, name="giant", documents=5, size=GIANT_BYTES),
    ),
    "odd-addresses": (_number(9990103, 2024, 8, 26, 100), _odd_addresses),
    "odd-shapes": (_number(9990104, 2024, 8, 13, 1), _odd_shapes),
    "many-instances": (_number(9990105, 2024, 8, 21, 1), _many_instances),
    "secrecies": (_number(9990106, 2024, 8, 19, 1), _secrecies),
    "media": (_number(9990107, 2024, 5, 2, 1), _media),
    "wrong-sizes": (_number(9990108, 2024, 8, 16, 1), _wrong_sizes),
    "refused": (_number(9990109, 2024, 4, 3, 6301), _refused),
    "suspicious-words": (_number(9990110, 2024, 8, 6, 1), _suspicious_words),
    "listed-otherwise": (_number(9990111, 2024, 8, 26, 100), _listed_otherwise),
    "text-only": (_number(9990112, 2024, 8, 26, 100), _text_only),
    **{
        f"portfolio-{i}": (_number(9_992_000 + i, 2024, 4, 3, 6100), _portfolio)
        for i in range(1, 251)
    },
}


class KnownCases(Mapping[str, Case]):
    """All cases by the digits of their numbers."""

    def __init__(self) -> None:
        self._factories = {number.digits: (number, factory) for number, factory in _NAMED.values()}
        self._cases: dict[str, Case] = {}
        self._next_sequence = _FIRST_FREE

    def __getitem__(self, digits: str) -> Case:
        """The case with the given number.

        Raises:
            KeyError: the number is unknown.
        """
        if digits not in self._cases:
            number, factory = self._factories[digits]
            self._cases[digits] = factory(number)
        return self._cases[digits]

    def __iter__(self) -> Iterator[str]:
        """The digits of all cases."""
        yield from self._factories.keys() | self._cases.keys()

    def __len__(self) -> int:
        """The number of known cases."""
        return len(self._factories.keys() | self._cases.keys())

    def __contains__(self, digits: object) -> bool:
        """Whether the number is known; does not generate the case."""
        return digits in self._factories or digits in self._cases

    def names(self) -> dict[str, CaseNumber]:
        """The numbers of the named cases."""
        return {name: number for name, (number, _) in _NAMED.items()}

    def find(self, name_or_number: str) -> Case | None:
        """A case by name, or by number in either form; None if it is unknown."""
        if name_or_number in _NAMED:
            return self[_NAMED[name_or_number][0].digits]
        digits = "".join(c for c in name_or_number if c.isdigit())
        return self.get(digits)

    def free_number(self) -> CaseNumber:
        """An unused number for a new case; the order of numbers is the same after every start."""
        while True:
            number = _number(self._next_sequence, 2024, 8, 26, 100)
            self._next_sequence += 1
            if number.digits not in self:
                return number

    def put(self, case: Case) -> None:
        """Add a created case; replaces an earlier created case with the same number.

        Raises:
            NumberTaken: the number belongs to a named case.
        """
        if case.number.digits in self._factories:
            raise NumberTaken(f"{case.number} is the number of a named case. Use another number.")
        self._cases[case.number.digits] = case

    def restore(self) -> None:
        """Undo the changes of all cases."""
        for case in self._cases.values():
            case.restore()
