"""documents carry a doubt and the source's order; jobs say until when they wait"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("documents", sa.Column("source_order", sa.Integer()))
    op.add_column("documents", sa.Column("doubt", sa.Text()))
    op.add_column("jobs", sa.Column("waiting_until", sa.DateTime(timezone=True)))
    op.add_column("jobs", sa.Column("next_try_at", sa.DateTime(timezone=True)))
    op.add_column(
        "jobs",
        sa.Column("doubtful_documents", sa.Integer(), nullable=False, server_default=sa.text("0")),
    )


def downgrade() -> None:
    for column in ("doubtful_documents", "next_try_at", "waiting_until"):
        op.drop_column("jobs", column)
    for column in ("doubt", "source_order"):
        op.drop_column("documents", column)
