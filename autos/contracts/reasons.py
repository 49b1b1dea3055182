"""Every reason why a document or a job failed, waits or is in doubt, each with a sentence.

A member's value is stored, sent and shown; its `text` is for a person. To add one: a member here, a
rule in `autos.contracts.retries`, a row in `docs/reference/reasons.md`, and what detects it (for a
reply of the source `autos.source.replies.judge`).
"""

from enum import StrEnum
from typing import Self


class _Explained(StrEnum):
    """A string enum whose members carry a sentence for users (`text`)."""

    text: str

    def __new__(cls, value: str, text: str = "") -> Self:
        """Take the sentence beside the value."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.text = text
        return member


class WaitReason(_Explained):
    """What a stalled job is waiting for. A wait is never a failure."""

    CREDENTIAL = "credential", "The source does not accept the credential; set a new one."
    SOURCE = "source", "The source is unavailable or limits the request rate."
    OPERATOR = "operator", "An operator has paused the job."
    RECORDS = "records", "PostgreSQL does not answer a worker."
    STORAGE = "storage", "The object store accepts no objects, or a worker's disk is full."


class Doubt(_Explained):
    """Why an available document may differ from what the source lists."""

    SIZE_MISMATCH = (
        "size_mismatch",
        "The source repeatedly sends this file in another size than the listed one.",
    )
    TEXT_ONLY = (
        "text_only",
        "The source has no file of this document; this is the text extracted from it.",
    )


class Reason(_Explained):
    """Why a process or a document could not be downloaded; see `docs/reference/reasons.md`."""

    SECRET = (
        "secret",
        "The court keeps this document secret; the credential in use may not read it.",
    )
    NO_ACCESS = "no_access", "The credential in use has no access to this process."
    NOT_FOUND = "not_found", "The source does not have it, or no longer has it."
    NO_ADDRESS = "no_address", "The source lists this document without an address to fetch it from."
    FOREIGN_HOST = (
        "foreign_host",
        "The source lists an address on another host; Autos never sends requests there.",
    )
    BAD_REQUEST = "bad_request", "The source calls the request malformed."
    TOO_LARGE = "too_large", "The document is larger than the configured limit."
    UNAVAILABLE = "unavailable", "The source is unavailable."
    DOCUMENT_ERROR = (
        "document_error",
        "The source could not read this document from the court's system.",
    )
    STUB = "stub", "The source sent an error text in place of the document."
    EMPTY = "empty", "The source sent an empty file."
    ERROR_BODY = "error_body", "The source sent an error message in place of the document."
    SHELL = "shell", "The source sent its web page in place of the document."
    TRUNCATED = "truncated", "The connection ended before the whole document had arrived."
    SIZE_MISMATCH = "size_mismatch", "The document's size is not the one the source lists."
    BLOCKED = "blocked", "The source's firewall refused the request."
    CREDENTIAL = "credential", "The source does not accept the credential; set a new one."
    RATE_LIMITED = "rate_limited", "The source limits the request rate."
    TIMEOUT = "timeout", "The source did not answer in time."
    TOO_SLOW = "too_slow", "The source sent the document too slowly."
    REDIRECTED = (
        "redirected",
        "The source redirects to an address that is not configured as its own.",
    )
    UNREADABLE_LISTING = (
        "unreadable_listing",
        "The source's response about this process cannot be read.",
    )
    STORAGE = "storage", "The object store did not accept the document, or has lost it."
    INTERRUPTED = (
        "interrupted",
        "The job was stopped from outside before it could record how it ended.",
    )
    INTERNAL_ERROR = (
        "internal_error",
        "An internal error of Autos; see the worker's log.",
    )
