"""Object keys: `processes/<20 digits>/<sha256>` for documents, `.../manifest.json` beside them.

Keys are content-addressed within a process: identical documents are stored once, documents of the
same name cannot overwrite each other, and one prefix holds everything of a process.
"""

import re
from typing import Final

PROCESSES_PREFIX: Final = "processes/"
"""Prefix of all documents and manifests."""
PROBE_KEY: Final = "health/probe"
"""Key of the object that is written to check that the bucket accepts objects."""
MANIFEST: Final = "manifest.json"
"""Name of a manifest under its process's prefix."""

_DIGITS: Final = re.compile(r"\d{20}", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


def process_prefix(digits: str) -> str:
    """The prefix of all objects of a process.

    Raises:
        ValueError: `digits` are not 20 digits.
    """
    if not _DIGITS.fullmatch(digits):
        raise ValueError("The key of a process's object needs the 20 digits of the case number.")
    return f"{PROCESSES_PREFIX}{digits}/"


def document_key(digits: str, sha256: str) -> str:
    """The key of a document.

    Args:
        digits: the 20 digits of the case number.
        sha256: of the document, 64 lower-case hexadecimal digits.

    Raises:
        ValueError: an argument has another form.
    """
    if not _SHA256.fullmatch(sha256):
        raise ValueError("The key of a document needs its SHA-256 in lower-case hexadecimal.")
    return process_prefix(digits) + sha256


def manifest_key(digits: str) -> str:
    """The key of a process's manifest; raises like `process_prefix`."""
    return process_prefix(digits) + MANIFEST


def read_key(key: str) -> tuple[str, str] | None:
    """Split a key into the process's digits and the object's name (a SHA-256, or `MANIFEST`).

    None for a key that this service never writes.
    """
    digits, _, name = key.removeprefix(PROCESSES_PREFIX).partition("/")
    ours = _DIGITS.fullmatch(digits) and (name == MANIFEST or _SHA256.fullmatch(name))
    return (digits, name) if ours and key.startswith(PROCESSES_PREFIX) else None
