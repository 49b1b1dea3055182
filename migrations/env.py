"""Runs the migrations on a connection that `autos.records.migrate` hands over."""

from alembic import context

from autos.records.models import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
