"""The states of documents and jobs, and the reasons for what did not work (DESIGN §6, §8)."""

from enum import StrEnum


class DocumentState(StrEnum):
    """Where one document stands. The value's initial is its character in a job's state string."""

    PENDING = "pending"
    PROCESSING = "processing"
    AVAILABLE = "available"
    FAILED = "failed"


class JobStatus(StrEnum):
    """Where one job stands."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    COMPLETED_WITH_FAILURES = "completed_with_failures"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """True once nothing more will happen in the job."""
        return self not in (JobStatus.PENDING, JobStatus.PROCESSING)


class WaitReason(StrEnum):
    """What a stalled job is waiting for. A wait is never a failure."""

    CREDENTIAL = "credential"
    SOURCE = "source"
    OPERATOR = "operator"
    RECORDS = "records"
    """PostgreSQL does not answer a worker."""
    STORAGE = "storage"
    """The object store does not take objects, or a worker's disk is full."""


class Doubt(StrEnum):
    """Why an available document may not be what the source means it to be."""

    SIZE_MISMATCH = "size_mismatch"
    TEXT_ONLY = "text_only"

    @property
    def text(self) -> str:
        """One sentence for a person who reads the status."""
        return _DOUBTS[self]


_DOUBTS: dict[Doubt, str] = {
    Doubt.SIZE_MISMATCH: "The source sends this file again and again in another size than listed.",
    Doubt.TEXT_ONLY: "The source has no file of this document; this is the text taken out of it.",
}


class Reason(StrEnum):
    """Why a process or a document could not be downloaded (docs/operations.md has the table)."""

    SECRET = "secret"
    NO_ACCESS = "no_access"
    NOT_FOUND = "not_found"
    NO_ADDRESS = "no_address"
    FOREIGN_HOST = "foreign_host"
    BAD_REQUEST = "bad_request"
    TOO_LARGE = "too_large"
    UNAVAILABLE = "unavailable"
    DOCUMENT_ERROR = "document_error"
    STUB = "stub"
    EMPTY = "empty"
    ERROR_BODY = "error_body"
    SHELL = "shell"
    TRUNCATED = "truncated"
    SIZE_MISMATCH = "size_mismatch"
    BLOCKED = "blocked"
    CREDENTIAL = "credential"
    RATE_LIMITED = "rate_limited"
    TIMEOUT = "timeout"
    TOO_SLOW = "too_slow"
    REDIRECTED = "redirected"
    UNREADABLE_LISTING = "unreadable_listing"
    STORAGE = "storage"
    INTERRUPTED = "interrupted"
    INTERNAL_ERROR = "internal_error"

    @property
    def text(self) -> str:
        """One sentence for a person who reads the status."""
        return _TEXTS[self]


_TEXTS: dict[Reason, str] = {
    Reason.SECRET: "The court keeps this document secret; the credential in use may not read it.",
    Reason.NO_ACCESS: "The credential in use has no access to this process.",
    Reason.NOT_FOUND: "The source does not know it (any more).",
    Reason.NO_ADDRESS: "The source lists this document without an address to fetch it from.",
    Reason.FOREIGN_HOST: "The source lists an address on another host, which is never asked.",
    Reason.BAD_REQUEST: "The source calls the request malformed.",
    Reason.TOO_LARGE: "The document is larger than the configured limit.",
    Reason.UNAVAILABLE: "The source is out of order at the moment.",
    Reason.DOCUMENT_ERROR: "The source could not read this document from the court's system.",
    Reason.STUB: "The source sent an error text in place of the document.",
    Reason.EMPTY: "The source sent an empty file.",
    Reason.ERROR_BODY: "The source sent an error message in place of the document.",
    Reason.SHELL: "The source sent its web page in place of the document.",
    Reason.TRUNCATED: "The connection ended before the whole document had arrived.",
    Reason.SIZE_MISMATCH: "The document's size is not the one the source lists.",
    Reason.BLOCKED: "The source's firewall refused the request.",
    Reason.CREDENTIAL: "The source does not accept the credential; set a new one.",
    Reason.RATE_LIMITED: "The source asks for fewer requests.",
    Reason.TIMEOUT: "The source did not answer in time.",
    Reason.TOO_SLOW: "The source sent the document too slowly to be waited for.",
    Reason.REDIRECTED: "The source redirects to an address that is not configured as its own.",
    Reason.UNREADABLE_LISTING: "The source's answer about this process cannot be read.",
    Reason.STORAGE: "The object store did not take the document, or has lost it.",
    Reason.INTERRUPTED: "The job was ended from outside before it had written its own end.",
    Reason.INTERNAL_ERROR: "Autos failed on this by a defect of its own; see the worker's log.",
}
