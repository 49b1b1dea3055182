"""Where objects are: `processes/<20 digits>/<sha256>` (DESIGN §7).

Content-addressed inside its process: identical pieces are stored once, documents of one name
cannot overwrite each other (failure F9), and a process is purged by one prefix.
"""

import re
from typing import Final

PROCESSES_PREFIX: Final = "processes/"
"""What the keys of documents and manifests begin with."""
PROBE_KEY: Final = "health/probe"
"""What is put to see whether the bucket takes anything."""
MANIFEST: Final = "manifest.json"
"""The name of a manifest below its process's prefix."""

_DIGITS: Final = re.compile(r"\d{20}", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


def process_prefix(digits: str) -> str:
    """The prefix of everything that is kept of a process.

    Raises:
        ValueError: `digits` are not 20 digits.
    """
    if not _DIGITS.fullmatch(digits):
        raise ValueError("A process's objects are found by the 20 digits of its number.")
    return f"{PROCESSES_PREFIX}{digits}/"


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
    return process_prefix(digits) + MANIFEST


def read_key(key: str) -> tuple[str, str] | None:
    """The process's digits and the object's name (a SHA-256, or `MANIFEST`) of one of our keys.

    None for a key that this service never makes.
    """
    digits, _, name = key.removeprefix(PROCESSES_PREFIX).partition("/")
    ours = _DIGITS.fullmatch(digits) and (name == MANIFEST or _SHA256.fullmatch(name))
    return (digits, name) if ours and key.startswith(PROCESSES_PREFIX) else None
