"""Cases of a given shape and size: the same number, shape and seed give the same case.

The shapes are those of docs/source.md#copies; sizes are a mixture unless one is asked for.
"""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from autos.cnj import CaseNumber
from sandbox import files
from sandbox.cases import Case, Listing, Piece
from sandbox.files import Content

FIRST_DAY: Final = datetime(2024, 1, 10, 9, 8, 52)  # noqa: DTZ001  # the source has no zones

_KINDS: Final = (
    ("Petição inicial", 58),
    ("Petição", 57),
    ("Decisão", 15),
    ("Despacho", 63),
    ("Intimação", None),
    ("Certidão", 46),
    ("Outros documentos", None),
)


class Shape(StrEnum):
    """How a case's documents are listed."""

    SIMPLE = "simple"
    LISTED_TWICE = "listed-twice"
    TWO_INSTANCES = "two-instances"


def make_case(
    number: CaseNumber,
    documents: int,
    *,
    shape: Shape = Shape.SIMPLE,
    size_bytes: int | None = None,
    seed: int = 0,
    name: str | None = None,
) -> Case:
    """A case of ordinary documents.

    Args:
        number: of the case.
        documents: unique ones, over all instances.
        shape: how they are listed.
        size_bytes: of every document; None for a mixture of 3 KB to 250 KB.
        seed: other seeds give other files under the same UUIDs.
        name: in the catalogue.
    """
    drawn = random.Random(f"{number.digits}/{seed}")  # noqa: S311  # repeatable is the point
    pieces = [_piece(number, i + 1, drawn, size_bytes, seed) for i in range(documents)]
    return Case(number, _LISTINGS[shape](pieces), name)


def _piece(
    number: CaseNumber, sequence: int, drawn: random.Random, size_bytes: int | None, seed: int
) -> Piece:
    kind, code = _KINDS[sequence % len(_KINDS)]
    is_html = drawn.random() < 0.4
    label = f"Documento {sequence} do processo {number.masked}, edicao {seed}"
    writer: Callable[[str, int], Content] = files.html if is_html else files.pdf
    size = size_bytes
    if size is None:
        # Half of the files are below some 35 KB, as in the courts that were measured.
        size = int(3_000 * 80 ** drawn.random()) if is_html else int(10_000 * 25 ** drawn.random())
    return Piece(
        name=f"{kind}.html" if is_html else f"{kind} {sequence}.pdf",
        content=writer(label, size),
        sequence=sequence,
        joined_at=moment(sequence),
        origin_id=f"3{sequence:08}",
        kind=kind,
        kind_code=code,
    )


def moment(sequence: int) -> datetime:
    """When the piece of that sequence was joined; fractions of 0 to 3 digits occur."""
    step = timedelta(hours=7 * sequence, milliseconds=(0, 600, 340, 341)[sequence % 4])
    return FIRST_DAY + step


def newest_first(pieces: list[Piece]) -> tuple[Piece, ...]:
    """By descending sequence, as the source lists them."""
    return tuple(sorted(pieces, key=lambda piece: -piece.sequence))


def _simple(pieces: list[Piece]) -> tuple[Listing, ...]:
    return (Listing(2501, "G1", newest_first(pieces)),)


def _listed_twice(pieces: list[Piece]) -> tuple[Listing, ...]:
    shown = newest_first(pieces)
    return (
        Listing(2319, "G1", shown),
        Listing(2315, "G1", shown, describes_files=False),
    )


def _two_instances(pieces: list[Piece]) -> tuple[Listing, ...]:
    """A third is in the second instance, and half of that copies of the first's pieces."""
    first = pieces[: len(pieces) - len(pieces) // 3]
    second = pieces[len(first) :]
    for i in range(len(second) // 2):
        original = first[i]
        # A copy has ids of its own, but the same content, name and moment.
        second[i] = Piece(
            name=original.name,
            content=original.content,
            sequence=second[i].sequence,
            joined_at=original.joined_at,
            origin_id=second[i].origin_id,
            kind=original.kind,
            kind_code=original.kind_code,
        )
    return (
        Listing(2402, "G2", newest_first(second)),
        Listing(2401, "G1", newest_first(first)),
    )


_LISTINGS: Final[dict[Shape, Callable[[list[Piece]], tuple[Listing, ...]]]] = {
    Shape.SIMPLE: _simple,
    Shape.LISTED_TWICE: _listed_twice,
    Shape.TWO_INSTANCES: _two_instances,
}
