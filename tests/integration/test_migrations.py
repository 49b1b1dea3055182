"""The migrations create exactly the tables of the models, and can be reverted."""

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect

from autos.records.database import Database
from autos.records.migrate import configuration
from autos.records.models import Base


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))


async def test_migrated_tables_match_the_models(database: Database) -> None:
    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_every_migration_can_be_reverted(database: Database) -> None:
    def back_and_forth(connection: Connection) -> tuple[list[str], list[object]]:
        config = configuration()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        left = set(inspect(connection).get_table_names()) - {"alembic_version"}
        command.upgrade(config, "head")
        return sorted(left), differences(connection)

    async with database.engine.connect() as connection:
        # The rollback restores other tests' rows.
        transaction = await connection.begin()
        assert await connection.run_sync(back_and_forth) == ([], [])
        await transaction.rollback()
