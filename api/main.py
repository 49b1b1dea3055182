"""Starts the API: settings, logs, server.

A missing setting ends it with exit code 2 and a list of what is missing.
"""

import structlog
import uvicorn

from api.app import create_app
from autos import telemetry
from autos.settings import MissingSettings, Settings

log = structlog.get_logger(__name__)

REQUIRED = ("database_url", "s3_bucket", "s3_access_key_id", "s3_secret_access_key", "secret_key")
SHUTDOWN_SECONDS = 20
"""For requests in flight on SIGTERM; a long poll that lasts longer is cut and asked again."""


def main() -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""
    settings = Settings()
    telemetry.configure(settings.log_format, "api")
    try:
        settings.require(*REQUIRED)
    except MissingSettings as error:
        log.error("cannot_start", reason=str(error))  # noqa: TRY400 - a list, not a traceback
        return 2
    uvicorn.run(
        create_app(settings),
        host=settings.api_host,
        port=settings.api_port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        server_header=False,
    )
    return 0
