"""webhooks: repeated attempts find their row, lengths of answers, the test receiver"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("origin", sa.Text(), nullable=True))
    op.execute("UPDATE attempts SET origin = 'before 0002/' || id")
    op.alter_column("attempts", "origin", nullable=False)
    op.add_column("attempts", sa.Column("response_length", sa.Integer(), nullable=True))
    op.create_unique_constraint(
        op.f("uq_attempts_delivery_id"), "attempts", ["delivery_id", "origin"]
    )
    op.create_table(
        "test_receipts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("api_key_id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("body_length", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["api_key_id"],
            ["api_keys.id"],
            name=op.f("fk_test_receipts_api_key_id_api_keys"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_test_receipts")),
    )
    op.create_index(
        "ix_test_receipts_api_key_id_received_at", "test_receipts", ["api_key_id", "received_at"]
    )


def downgrade() -> None:
    op.drop_table("test_receipts")
    op.drop_constraint(op.f("uq_attempts_delivery_id"), "attempts", type_="unique")
    op.drop_column("attempts", "response_length")
    op.drop_column("attempts", "origin")
