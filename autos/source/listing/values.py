"""Single values out of lenient JSON: text, numbers, moments, secrecy, ids.

Every function takes anything and answers None (or nothing) for what it cannot read; none raises.
"""

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

LOCAL_TIME: Final = ZoneInfo("America/Sao_Paulo")
"""The source's date-times come without a zone and are local time."""

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


def text(value: object) -> str | None:
    """A text that can be stored: numbers written out, NULs and lone surrogates taken out."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST_SIZE:
        return str(value)
    if not isinstance(value, str):
        return None
    return storable(value).strip() or None


def storable(value: str) -> str:
    """The text without what PostgreSQL does not take: NUL characters and lone surrogates."""
    if value.isascii() and "\x00" not in value:
        return value
    return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def integer(value: object) -> int | None:
    """A whole number from 0 that fits 31 bits, also from a text of digits."""
    return _whole(value, _LARGEST_INTEGER)


def size(value: object) -> int | None:
    """A number of bytes; 0 counts as not given, since no piece is empty."""
    return _whole(value, _LARGEST_SIZE) or None


def _whole(value: object, largest: int) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= largest else None


def source_uuid(value: object) -> str | None:
    """A document's id at the source in lower case; the numbers of courts are none."""
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
    """A document's secrecy in words; a digit is put into words, an unknown word kept."""
    level = integer(value)
    if level is not None:
        return SECRECY[min(level, len(SECRECY) - 1)]
    return text(value)


def secrecy_level(value: object) -> int:
    """A process's secrecy as 0 to 5: absent is 0, what cannot be read is 5."""
    if value is None:
        return 0
    name = secrecy_name(value)
    return SECRECY.index(name) if name in SECRECY else len(SECRECY) - 1


def is_deeper_than(levels: int, value: object) -> bool:
    """True if lists and objects are nested deeper than so many levels."""
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
    """The names in a list, an object or a bare text: courts send all three."""
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
