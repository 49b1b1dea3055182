"""Runs the workers of all task queues in one process until SIGTERM or SIGINT.

On a signal no new work is taken; batches in flight get `GRACE` to end, then they are cancelled and
Temporal gives them to another worker. More throughput is more such processes.
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx2
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.worker import Worker

from activities.documents import DocumentActivities
from activities.jobs import JobActivities
from activities.process import ProcessActivities
from autos.contracts.names import JOBS_QUEUE, SOURCE_QUEUE
from autos.records.database import Database
from autos.settings import MissingSettings, Settings
from autos.source.client import SourceClient
from autos.store.client import Store
from workflows.download_process import DownloadProcessWorkflow

GRACE: Final = timedelta(seconds=20)
REQUIRED: Final = (
    "database_url",
    "s3_bucket",
    "s3_access_key_id",
    "s3_secret_access_key",
    "pdpj_base_url",
)


@dataclass(frozen=True)
class Parts:
    """What the activities work with; opened once per process."""

    database: Database
    source: SourceClient
    store: Store
    spool_directory: Path


@contextlib.asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
    """Open database, source and store; close them at the end."""
