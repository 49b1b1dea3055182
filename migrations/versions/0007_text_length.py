"""How much text the source extracted from a document's file."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; it is filled at the next reading of a process."""
    op.add_column("documents", sa.Column("text_length", sa.Integer()))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("documents", "text_length")
