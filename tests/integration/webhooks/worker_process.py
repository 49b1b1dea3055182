"""A webhooks worker process, to be killed: `python -m … ADDRESS DATABASE_URL`."""

import asyncio
import sys

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from autos.records.database import Database
from tests.integration.api_parts import FakeStore
from tests.integration.webhooks.parts import activities, settings, webhook_worker


async def main(address: str, database_url: str) -> None:
    """Work until killed."""
    database = Database.open(settings(database_url=database_url))
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    await webhook_worker(client, activities(database, FakeStore())).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
