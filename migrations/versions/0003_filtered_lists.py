"""lists of processes by court and of jobs by status are read in their order from an index"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_processes_court_created_at_number", "processes", ["court", "created_at", "number"]
    )
    op.drop_index("ix_jobs_status", "jobs")
    op.create_index("ix_jobs_status_created_at_id", "jobs", ["status", "created_at", "id"])


def downgrade() -> None:
    op.drop_index("ix_jobs_status_created_at_id", "jobs")
    op.create_index("ix_jobs_status", "jobs", ["status"])
    op.drop_index("ix_processes_court_created_at_number", "processes")
