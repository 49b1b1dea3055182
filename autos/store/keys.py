"""Where objects are: `processes/<20 digits>/<sha256>` (DESIGN §7).

Content-addressed inside its process: identical pieces are stored once, documents of one name
cannot overwrite each other (failure F9), and a process is purged by one prefix.
"""

import re
from typing import Final

_DIGITS: Final = re.compile(r"\d{20}", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


def process_prefix(digits: str) -> str:
    """The prefix of everything that is kept of a process.

    Raises:
        ValueError: `digits` are not 20 digits.
    """
    if not _DIGITS.fullmatch(digits):
        raise ValueError("A process's objects are found by the 20 digits of its number.")
    return f"processes/{digits}/"


def document_key(digits: str, sha256: str) -> str:
    """The key of a document's bytes.

    Args:
        digits: the 20 digits of the process's number.
        sha256: of the bytes, 64 lower-case hexadecimal digits.

    Raises:
        ValueError: one of the two has another form.
    """
    if not _SHA256.fullmatch(sha256):
        raise ValueError("A document's key needs the SHA-256 of its bytes, in lower-case hex.")
    return process_prefix(digits) + sha256


def manifest_key(digits: str) -> str:
    """The key of a process's manifest.

    Raises:
        ValueError: `digits` are not 20 digits.
    """
    return process_prefix(digits) + "manifest.json"
