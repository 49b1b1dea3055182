"""Parses the header `Retry-After` of the source, of webhook receivers, and of the Autos API.

Callers set an upper bound for the wait.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def parse_retry_after(value: str | None) -> float | None:
    """Seconds to wait, as a number or an HTTP date (RFC 9110 §10.2.3).

    Fractions of a second are accepted, although the RFC has none.

    Args:
        value: the header's value; None if there is none.

    Returns:
        Seconds; 0 for a date in the past; None if the value is missing or unreadable.
    """
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,6})?", text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None
