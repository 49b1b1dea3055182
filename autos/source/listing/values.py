"""Converts single JSON values leniently: text, numbers, times, secrecy, ids, instances.

Every function accepts any value and returns None (or an empty result) for an invalid one; none
raises.
"""

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

LOCAL_TIME: Final = ZoneInfo("America/Sao_Paulo")
"""The source's date-times come without a zone and are local time (docs/source.md#listings)."""

SECRECY: Final = (
    "PUBLICO",
    "SEGREDO_JUSTICA",
    "SIGILO_MINIMO",
    "SIGILO_MEDIO",
    "SIGILO_INTENSO",
    "SIGILO_ABSOLUTO",
)
"""The levels of secrecy 0 to 5 in the source's words."""

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_LARGEST_INTEGER: Final = 2**31 - 1
_LARGEST_SIZE: Final = 2**63 - 1

_LEVELS: Final = {"G1": 1, "JE": 1, "G2": 2, "TR": 2, "G3": 3, "GS": 3, "SUP": 3, "G4": 4}
_ORDINALS: Final = {"PRIMEIR": 1, "SEGUND": 2, "TERCEIR": 3, "QUART": 4}
_LEVEL_IN_WORDS: Final = re.compile(
    r"(?:GRAU|INSTANCIA)?(?:(?P<digit>[1-4])[OA]?|(?P<ordinal>PRIMEIR|SEGUND|TERCEIR|QUART)[OA])"
    r"(?:G|GRAU|INSTANCIA)?"
)
_UNKNOWN_INSTANCE: Final = "INCONSISTENTE"


def text(value: object) -> str | None:
    """A text that can be stored: stripped, numbers converted; None if it is empty."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST_SIZE:
        return str(value)
    if not isinstance(value, str):
        return None
    return storable(value).strip() or None


def storable(value: str) -> str:
    """The text without NUL characters and lone surrogates, which PostgreSQL rejects."""
    if value.isascii() and "\x00" not in value:
        return value
    return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def integer(value: object) -> int | None:
    """A whole number from 0 that fits 31 bits, also from a text of digits."""
    return _whole(value, _LARGEST_INTEGER)


def size(value: object) -> int | None:
    """A number of bytes; 0 counts as missing, since no document is empty."""
    return _whole(value, _LARGEST_SIZE) or None


def _whole(value: object, largest: int) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= largest else None


def source_uuid(value: object) -> str | None:
    """A document's UUID in lower case; None for other ids, such as those of courts."""
    found = text(value)
    return found.lower() if found is not None and _UUID.fullmatch(found.lower()) else None


def moment(value: object) -> datetime | None:
    """A date-time in UTC; one without a zone is local time, with 0 to 3 fraction digits."""
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value.strip())
        if parsed.tzinfo is None:
            parsed = parsed.replace(tzinfo=LOCAL_TIME)
        return parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def secrecy_name(value: object) -> str | None:
    """A document's secrecy in words; a level is translated, an unknown word is kept."""
    level = integer(value)
    if level is not None:
        return SECRECY[min(level, len(SECRECY) - 1)]
    return text(value)


def secrecy_level(value: object) -> int:
    """A process's secrecy as 0 to 5: absent is 0, unreadable is 5."""
    if value is None:
        return 0
    name = secrecy_name(value)
    return SECRECY.index(name) if name in SECRECY else len(SECRECY) - 1


def is_deeper_than(levels: int, value: object) -> bool:
    """True if lists and objects are nested in more levels than this."""
    layer = [value]
    for _ in range(levels + 1):
        layer = [
            child
            for item in layer
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not layer:
            return False
    return True


def objects(value: object) -> Iterator[dict[str, Any]]:
    """The objects in a list, or the one object itself."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            yield item


def labels(value: object) -> Iterator[str]:
    """The names in a list, an object or a bare text: courts send all three shapes."""
    for item in value if isinstance(value, list) else [value]:
        named = item.get("descricao") or item.get("nome") if isinstance(item, dict) else item
        if (label := text(named)) is not None:
            yield label


def first_label(*values: object) -> str | None:
    """The first name found in the values."""
    return next((label for value in values for label in labels(value)), None)


def without(value: Any, key: str) -> Any:
    """A deep copy as valid, storable JSON, with no `key` in any object."""
    if isinstance(value, dict):
        return {
            storable(str(name)): without(item, key) for name, item in value.items() if name != key
        }
    if isinstance(value, list):
        return [without(item, key) for item in value]
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance (`grau`, `instância`) of one court.

    Sources name it in different ways: `{"sigla": "G1"}`, `"1"`, `PRIMEIRO_GRAU`, `1º Grau`.
    """

    name: str
    """Short, such as `G1`; an unknown name is kept as it is."""
    level: int | None
    """From 1; None if the name does not show it."""
    by_name: bool
    """True if the source gives a name, not only the level."""

    def is_same_as(self, other: "Instance") -> bool:
        """True if two sources may mean the same instance.

        One that names the level only may mean a special court of this level (`JE`, the small claims
        court); two special names are never the same.
        """
        if self.by_name and other.by_name:
            return self.name == other.name
        return self.level is not None and self.level == other.level


def read_instance(run: dict[str, Any]) -> Instance | None:
    """The instance that an object of a listing names, if it names one."""
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
    if folded == _UNKNOWN_INSTANCE:
        return None
    match = _LEVEL_IN_WORDS.fullmatch(folded)
    if match is not None:
        ordinal = match["ordinal"]
        level = _ORDINALS[ordinal] if ordinal else int(match["digit"])
        return Instance(f"G{level}", level, by_name=False)
    name = folded if folded in _LEVELS else words
    return Instance(name, _LEVELS.get(name, level), by_name=True)
