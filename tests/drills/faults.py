"""Which of the sandbox's faults a drill turns on, and what each of them may lead to."""

from dataclasses import dataclass
from typing import Final

from autos.contracts.reasons import Reason
from autos.contracts.retries import retry_rule

REASONS: Final[dict[str, Reason]] = {
    "unavailable_503_html": Reason.UNAVAILABLE,
    "unavailable_503_json": Reason.UNAVAILABLE,
    "bad_gateway_html": Reason.UNAVAILABLE,
    "gateway_timeout_504": Reason.UNAVAILABLE,
    "connection_reset": Reason.UNAVAILABLE,
    "waf_html": Reason.BLOCKED,
    "rate_limited": Reason.RATE_LIMITED,
    "rate_limited_retry_after": Reason.RATE_LIMITED,
    "codex_500": Reason.DOCUMENT_ERROR,
    "stub_codex_down": Reason.STUB,
    "stub_circuit_breaker": Reason.STUB,
    "json_error_200": Reason.ERROR_BODY,
    "empty_200": Reason.EMPTY,
    "shell_200": Reason.SHELL,
    "truncated": Reason.TRUNCATED,
    "chunked_truncated": Reason.TRUNCATED,
    "unauthorized_empty": Reason.CREDENTIAL,
    "trickle": Reason.TOO_SLOW,
    "hang": Reason.TIMEOUT,
    "stall": Reason.TIMEOUT,
    "secret_piece_403": Reason.SECRET,
    "not_found_404": Reason.NOT_FOUND,
}
"""What the service calls a request that the fault struck."""

OUTAGES: Final = (
    "unavailable_503_html",
    "bad_gateway_html",
    "gateway_timeout_504",
    "connection_reset",
    "waf_html",
    "rate_limited",
    "rate_limited_retry_after",
)
"""Strike every request for a while, the probe's among them: a wait, and no attempt is used."""

PASSING: Final = (
    "unavailable_503_json",
    "codex_500",
    "stub_codex_down",
    "stub_circuit_breaker",
    "json_error_200",
    "empty_200",
    "shell_200",
    "truncated",
    "chunked_truncated",
)
"""Strike documents and go away by themselves before the attempts are used up."""

SLOW: Final = ("hang", "stall", "trickle", "rate_limited_retry_after")
"""Each strike costs seconds: `AUTOS_SOURCE_IDLE_TIMEOUT`, what the court asks for, or up to a
minute for a document that comes at 1,000 bytes a second."""

FINAL: Final = ("secret_piece_403", "not_found_404")
"""Strike one document for good, which is then failed at once."""

REFUSED: Final = "unauthorized_empty"
"""Strikes one document for good: the credential is refused there and works everywhere else."""


_AT_ONCE: Final = {REASONS[name] for name in FINAL}


@dataclass(frozen=True, slots=True)
class Strikes:
    """What struck the requests for one document, in their order."""

    reasons: tuple[Reason, ...]

    def explain(self, reason: Reason) -> bool:
        """True if they were enough to fail the document for this reason."""
        enough = 1 if reason in _AT_ONCE else retry_rule(reason).attempts
        return self.reasons.count(reason) >= enough

    @property
    def allowed(self) -> int:
        """So many of them the retry table allows one job to meet, had each counted."""
        return sum(retry_rule(reason).attempts for reason in set(self.reasons))


UNSTRUCK: Final = Strikes(())
