"""Generates cases. The same number, shape and seed give the same case.

The shape determines how the documents are listed (docs/source.md#copies). To add one, add a member
to `Shape` and a function to `_LISTINGS`. Sizes vary unless one is given.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from autos.cnj import CaseNumber
from sandbox import files
from sandbox.cases.models import Case, Listing, Piece
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


def generate_case(
    number: CaseNumber,
    documents: int,
    *,
    shape: Shape = Shape.SIMPLE,
    size_bytes: int | None = None,
    seed: int = 0,
    name: str | None = None,
) -> Case:
    """Generate a case with ordinary documents.

    Args:
        number: the case number.
        documents: the number of unique documents over all instances.
        shape: how the documents are listed.
        size_bytes: the size of every document; None for sizes from 3 KB to 250 KB.
        seed: another seed gives other files with the same UUIDs.
        name: the name of a named case.
    """
    rng = random.Random(f"{number.digits}/{seed}")  # noqa: S311  # must be repeatable
    pieces = [_random_piece(number, i + 1, rng, size_bytes, seed) for i in range(documents)]
    return Case(number, _LISTINGS[shape](pieces), name)


def _random_piece(
    number: CaseNumber, sequence: int, rng: random.Random, size_bytes: int | None, seed: int
) -> Piece:
    kind, code = _KINDS[sequence % len(_KINDS)]
    is_html = rng.random() < 0.4
    label = f"Documento {sequence} do processo {number.masked}, edicao {seed}"
    writer: Callable[[str, int], Content] = files.html if is_html else files.pdf
    size = size_bytes
    if size is None:
        # Half of the files are below 35 KB, as measured at real courts.
        size = int(3_000 * 80 ** rng.random()) if is_html else int(10_000 * 25 ** rng.random())
    name = f"{kind}.html" if is_html else f"{kind} {sequence}.pdf"
    return replace(create_piece(sequence, name, writer(label, size)), kind=kind, kind_code=code)


def create_piece(sequence: int, name: str, content: Content) -> Piece:
    """Create a piece; the sequence determines its time and its id in the court's system."""
    # The source sends times with 0 to 3 fractional digits.
    step = timedelta(hours=7 * sequence, milliseconds=(0, 600, 340, 341)[sequence % 4])
    return Piece(
        name=name,
        content=content,
        sequence=sequence,
        joined_at=FIRST_DAY + step,
        origin_id=f"3{sequence:08}",
    )


def newest_first(pieces: list[Piece]) -> tuple[Piece, ...]:
    """Sort by descending sequence, the order of the source."""
    return tuple(sorted(pieces, key=lambda piece: -piece.sequence))


def _simple(pieces: list[Piece]) -> tuple[Listing, ...]:
    return (Listing(2501, "G1", newest_first(pieces)),)


def _listed_twice(pieces: list[Piece]) -> tuple[Listing, ...]:
    ordered = newest_first(pieces)
    return (
        Listing(2319, "G1", ordered),
        Listing(2315, "G1", ordered, describes_files=False),
    )


def _two_instances(pieces: list[Piece]) -> tuple[Listing, ...]:
    """A third of the pieces is in the second instance; half of them are copies of the others."""
    first = pieces[: len(pieces) - len(pieces) // 3]
    second = pieces[len(first) :]
    for i in range(len(second) // 2):
        # A copy differs only in its ids.
        second[i] = replace(first[i], sequence=second[i].sequence, origin_id=second[i].origin_id)
    return (
        Listing(2402, "G2", newest_first(second)),
        Listing(2401, "G1", newest_first(first)),
    )


_LISTINGS: Final[dict[Shape, Callable[[list[Piece]], tuple[Listing, ...]]]] = {
    Shape.SIMPLE: _simple,
    Shape.LISTED_TWICE: _listed_twice,
    Shape.TWO_INSTANCES: _two_instances,
}
