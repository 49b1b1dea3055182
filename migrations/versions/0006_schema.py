"""The whole schema.

It is revision 0006 because it replaces the revisions 0001 to 0006 of the time before the first
release; a database that is at 0006 needs nothing.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0006"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_TABLES = (
    "api_keys",
    "credentials",
    "processes",
    "documents",
    "idempotency_keys",
    "jobs",
    "subscriptions",
    "deliveries",
    "attempts",
    "test_receipts",
)


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("role", sa.String(8), nullable=False),
        sa.Column("prefix", sa.String(16), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("webhook_secrets", JSONB, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME),
        sa.Column("revoked_at", _TIME),
        sa.CheckConstraint("role IN ('client', 'admin')", name=op.f("ck_api_keys_known_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("sha256", name=op.f("uq_api_keys_sha256")),
    )
    op.create_table(
        "credentials",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("expires_at", _TIME),
        sa.Column("refused_at", _TIME),
        sa.Column("updated_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_credentials")),
    )
    op.create_table(
        "processes",
        sa.Column("number", sa.String(20), nullable=False),
        sa.Column("court", sa.Text, nullable=False),
        sa.Column("segment", sa.Text, nullable=False),
        sa.Column("class_name", sa.Text),
        sa.Column("subjects", ARRAY(sa.Text), nullable=False),
        sa.Column("judging_body", sa.Text),
        sa.Column("secrecy_level", sa.SmallInteger),
        sa.Column("filed_at", _TIME),
        sa.Column("details", JSONB, nullable=False),
        sa.Column("total_documents", sa.Integer, nullable=False),
        sa.Column("fetched_at", _TIME),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("movements", JSONB, server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_processes")),
    )
    op.create_index("ix_processes_created_at_number", "processes", ["created_at", "number"])
    op.create_index(
        "ix_processes_court_created_at_number", "processes", ["court", "created_at", "number"]
    )
    op.create_table(
        "documents",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("process_number", sa.String(20), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("source_id", sa.Text, nullable=False),
        sa.Column("alternate_ids", ARRAY(sa.Text), nullable=False),
        sa.Column("addresses", ARRAY(sa.Text), nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("kind", sa.Text),
        sa.Column("kind_code", sa.Integer),
        sa.Column("instance", sa.Text),
        sa.Column("origin_id", sa.Text),
        sa.Column("sequence", sa.Integer),
        sa.Column("secrecy", sa.Text),
        sa.Column("filed_at", _TIME),
        sa.Column("declared_type", sa.Text),
        sa.Column("expected_size", sa.BigInteger),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String(64)),
        sa.Column("size", sa.BigInteger),
        sa.Column("content_type", sa.Text),
        sa.Column("job_id", sa.Text),
        sa.Column("started_at", _TIME),
        sa.Column("completed_at", _TIME),
        sa.Column("first_seen_at", _TIME, nullable=False),
        sa.Column("vanished_at", _TIME),
        sa.Column("source_order", sa.Integer),
        sa.Column("doubt", sa.Text),
        sa.Column("mismatch_sha256", sa.String(64)),
        sa.CheckConstraint(
            "state <> 'available' OR (sha256 IS NOT NULL AND size IS NOT NULL)",
            name=op.f("ck_documents_available_is_stored"),
        ),
        sa.CheckConstraint(
            "state <> 'failed' OR reason IS NOT NULL", name=op.f("ck_documents_failed_says_why")
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'processing', 'available', 'failed')",
            name=op.f("ck_documents_known_state"),
        ),
        sa.ForeignKeyConstraint(
            ["process_number"],
            ["processes.number"],
            name=op.f("fk_documents_process_number_processes"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_documents")),
        sa.UniqueConstraint("process_number", "position", name="uq_documents_position"),
        sa.UniqueConstraint(
            "process_number", "source_id", name=op.f("uq_documents_process_number")
        ),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("api_key_id", sa.Uuid, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("status_code", sa.SmallInteger),
        sa.Column("answer", JSONB(none_as_null=True)),
        sa.Column("created_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["api_key_id"],
            ["api_keys.id"],
            name=op.f("fk_idempotency_keys_api_key_id_api_keys"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("api_key_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("process_number", sa.String(20), nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("waiting_for", sa.Text),
        sa.Column("waiting_since", _TIME),
        sa.Column("reason", sa.Text),
        sa.Column("total_documents", sa.Integer, nullable=False),
        sa.Column("available_documents", sa.Integer, nullable=False),
        sa.Column("failed_documents", sa.Integer, nullable=False),
        sa.Column("bytes_stored", sa.BigInteger, nullable=False),
        sa.Column("details", JSONB, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("started_at", _TIME),
        sa.Column("completed_at", _TIME),
        sa.Column("waiting_until", _TIME),
        sa.Column("next_try_at", _TIME),
        sa.Column("doubtful_documents", sa.Integer, server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(
            ["process_number"],
            ["processes.number"],
            name=op.f("fk_jobs_process_number_processes"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index("ix_jobs_created_at_id", "jobs", ["created_at", "id"])
    op.create_index("ix_jobs_process_number_created_at", "jobs", ["process_number", "created_at"])
    op.create_index("ix_jobs_status_created_at_id", "jobs", ["status", "created_at", "id"])
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("process_number", sa.String(20), nullable=False),
        sa.Column("job_id", sa.Text),
        sa.Column("api_key_id", sa.Uuid, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("payload", sa.String(4), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["api_key_id"], ["api_keys.id"], name=op.f("fk_subscriptions_api_key_id_api_keys")
        ),
        sa.ForeignKeyConstraint(
            ["process_number"],
            ["processes.number"],
            name=op.f("fk_subscriptions_process_number_processes"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriptions")),
    )
    op.create_index("ix_subscriptions_api_key_id", "subscriptions", ["api_key_id"])
    op.create_index("ix_subscriptions_job_id", "subscriptions", ["job_id"])
    op.create_index(
        "ix_subscriptions_process_number", "subscriptions", ["process_number", "created_at"]
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("subscription_id", sa.Uuid, nullable=False),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("last_error", sa.Text),
        sa.Column("next_attempt_at", _TIME),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("delivered_at", _TIME),
        sa.CheckConstraint(
            "status IN ('pending', 'delivered', 'failed')", name=op.f("ck_deliveries_known_status")
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_deliveries_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.id"],
            name=op.f("fk_deliveries_subscription_id_subscriptions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("job_id", "subscription_id", name=op.f("uq_deliveries_job_id")),
    )
    op.create_index("ix_deliveries_created_at_id", "deliveries", ["created_at", "id"])
    op.create_index("ix_deliveries_subscription_id", "deliveries", ["subscription_id"])
    op.create_table(
        "attempts",
        sa.Column("id", sa.BigInteger, autoincrement=True, nullable=False),
        sa.Column("delivery_id", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("status_code", sa.Integer),
        sa.Column("milliseconds", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("response_excerpt", sa.LargeBinary),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("response_length", sa.Integer),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["deliveries.id"],
            name=op.f("fk_attempts_delivery_id_deliveries"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        sa.UniqueConstraint("delivery_id", "origin", name=op.f("uq_attempts_delivery_id")),
    )
    op.create_index("ix_attempts_delivery_id", "attempts", ["delivery_id", "number"])
    op.create_table(
        "test_receipts",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("api_key_id", sa.Uuid, nullable=False),
        sa.Column("webhook_id", sa.Text),
        sa.Column("type", sa.Text),
        sa.Column("verified", sa.Boolean, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("body_length", sa.Integer, nullable=False),
        sa.Column("received_at", _TIME, nullable=False),
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
    for table in reversed(_TABLES):
        op.drop_table(table)
