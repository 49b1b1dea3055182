"""The sandbox's faults that drills use, and their permitted effects."""

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
"""The reason that the service records for each fault."""

OUTAGES: Final = (
    "unavailable_503_html",
    "bad_gateway_html",
    "gateway_timeout_504",
    "connection_reset",
    "waf_html",
    "rate_limited",
    "rate_limited_retry_after",
)
"""Affect every request for a while, including checks: the job waits and uses no attempts."""

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
"""Affect documents and end before the attempts are used up."""

SLOW: Final = ("hang", "stall", "trickle", "rate_limited_retry_after")
"""Each affected request costs seconds: `AUTOS_SOURCE_IDLE_TIMEOUT`, the `Retry-After`, or up to a
minute for a document that arrives at 1,000 bytes per second."""

FINAL: Final = ("secret_piece_403", "not_found_404")
"""Affect one document permanently, which then fails at once."""

REFUSED: Final = "unauthorized_empty"
"""Affects one document permanently: the credential is refused only for it."""


_AT_ONCE: Final = {REASONS[name] for name in FINAL}


@dataclass(frozen=True, slots=True)
class Strikes:
    """The failed requests for one document, in order."""

    reasons: tuple[Reason, ...]

    def explain(self, reason: Reason) -> bool:
        """True if they justify failing the document for this reason."""
        enough = 1 if reason in _AT_ONCE else retry_rule(reason).attempts
        return self.reasons.count(reason) >= enough

    @property
    def allowed(self) -> int:
        """The number that the retry table allows one job, if each counted."""
        return sum(retry_rule(reason).attempts for reason in set(self.reasons))


UNSTRUCK: Final = Strikes(())
