"""`python -m api`: serves the API until SIGTERM or SIGINT.

Missing settings are listed, and the exit code is 2.
"""

import sys

import structlog
import uvicorn

from api.app import create_app
from api.http.server import options
from autos import telemetry
from autos.settings import MissingSettings, Settings

log = structlog.get_logger(__name__)

REQUIRED = ("database_url", "s3_bucket", "secret_key", "api_url")


def main() -> int:
    """Serve; the exit code."""
    settings = Settings()
    telemetry.configure(settings.log_format, "api")
    try:
        settings.require(*REQUIRED)
    except MissingSettings as error:
        log.error("cannot_start", reason=str(error))  # noqa: TRY400 - a list, not a traceback
        return 2
    uvicorn.run(create_app(settings), **options(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
