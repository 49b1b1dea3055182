"""The instance (`grau`, `instância`) that a part of a listing belongs to.

Sources name it in different ways: `{"sigla": "G1"}`, `"1"`, `PRIMEIRO_GRAU`, `1º Grau`. One that
names the level only may be the same as one that names a special court of this level (`JE`, the
small claims court); two special names are never the same.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Any, Final

from autos.source.listing.values import integer, objects, text

_LEVELS: Final = {"G1": 1, "JE": 1, "G2": 2, "TR": 2, "G3": 3, "GS": 3, "SUP": 3, "G4": 4}
_ORDINALS: Final = {"PRIMEIR": 1, "SEGUND": 2, "TERCEIR": 3, "QUART": 4}
_WORDS: Final = re.compile(
    r"(?:GRAU|INSTANCIA)?(?:(?P<digit>[1-4])[OA]?|(?P<ordinal>PRIMEIR|SEGUND|TERCEIR|QUART)[OA])"
    r"(?:G|GRAU|INSTANCIA)?"
)
_UNKNOWN: Final = "INCONSISTENTE"


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of one court."""

    name: str
    """Short, such as `G1`; what the source says where it is not known."""
    level: int | None
    """From 1; None where the name does not tell."""
    by_name: bool
    """The source gives the name and not the level alone."""

    def is_same_as(self, other: "Instance") -> bool:
        """True if one source may mean by it what another means by `other`."""
        if self.by_name and other.by_name:
            return self.name == other.name
        return self.level is not None and self.level == other.level


def read_instance(run: dict[str, Any]) -> Instance | None:
    """The instance that an object of a listing names; None if it names none."""
    for grade in objects(run.get("grau")):
        if (name := text(grade.get("sigla"))) is not None:
            return _from_words(name, integer(grade.get("numero")))
        if (level := text(grade.get("numero")) or text(grade.get("nome"))) is not None:
            return _from_words(level)
    words = text(run.get("grau")) or text(run.get("instancia"))
    return _from_words(words) if words is not None else None


def may_be_same(one: str | None, other: str | None) -> bool:
    """True unless the names of two instances exclude each other."""
    if one is None or other is None or one == other:
        return True
    return one in _LEVELS and _LEVELS[one] == _LEVELS.get(other)


def _from_words(words: str, level: int | None = None) -> Instance | None:
    split = unicodedata.normalize("NFKD", words).upper()
    folded = "".join(char for char in split if char.isascii() and char.isalnum())
    if folded == _UNKNOWN:
        return None
    match = _WORDS.fullmatch(folded)
    if match is not None:
        ordinal = match["ordinal"]
        level = _ORDINALS[ordinal] if ordinal else int(match["digit"])
        return Instance(f"G{level}", level, by_name=False)
    name = folded if folded in _LEVELS else words
    return Instance(name, _LEVELS.get(name, level), by_name=True)
