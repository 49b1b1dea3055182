"""Logs of all processes of the service: one JSON object a line, on standard output.

The loggers of the standard library (uvicorn, Temporal, SQLAlchemy) use the same renderer. The last
step redacts API keys, bearer tokens, signing secrets and the query of any URL. Does not redact
names of people; code must not log them.
"""

import logging
import re
import sys
import uuid
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")

_SECRETS: Final = (
    (re.compile(r"autos_[A-Za-z0-9_-]{16,}"), "autos_***"),
    (re.compile(r"(wh(?:sec|sk)_)[A-Za-z0-9+/=]{8,}"), r"\1***"),
    (re.compile(r"(?i)(bearer\s+)[A-Za-z0-9._~+/=-]{8,}"), r"\1***"),
    (re.compile(r"(https?://)[^\s/@\"'\\]+@"), r"\1***@"),
    (re.compile(r"(https?://[^\s?\"'\\]*\?)[^\s\"'\\]*"), r"\1***"),
)


def redact(text: str) -> str:
    """Remove keys, tokens and the queries of URLs from a text."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def configure(log_format: str, service: str) -> None:
    """Set up logging for this process; call it once, at the start.

    Args:
        log_format: `json` or `console`.
        service: the name in each line.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    )

    def add_service(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {**event, "service": service}

    def render(logger: WrappedLogger, method: str, event: EventDict) -> str:
        return redact(str(renderer(logger, method, event)))

    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                add_service,
                render,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # These log each request again, with its full URL.
    for chatty in ("httpx2", "httpcore2", "botocore", "boto3", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def request_id(given: str | None) -> str:
    """The caller's request id if it matches `REQUEST_ID`, else a new one."""
    if given is not None and REQUEST_ID.fullmatch(given):
        return given
    return uuid.uuid4().hex
