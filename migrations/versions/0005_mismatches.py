"""documents remember the bytes that came in another size than listed"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("documents", sa.Column("mismatch_sha256", sa.String(64)))
    op.execute(
        "UPDATE documents SET doubt = reason, reason = NULL "
        "WHERE state = 'available' AND reason = 'size_mismatch'"
    )


def downgrade() -> None:
    op.drop_column("documents", "mismatch_sha256")
