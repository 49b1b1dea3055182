"""The tables. Times are UTC with zone; values derived from one row are properties.

Constraints guarantee one row per document of a process, and one event per job and subscription.
Does not guarantee one active job per process: Temporal's workflow id does.
"""

import uuid
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql.elements import ColumnElement

from autos.contracts.states import DocumentState, JobStatus


def now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """Base of all tables; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own declaration, read once
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[str]: ARRAY(Text),
        str: Text,
    }


class Process(Base):
    """A requested court case; it has metadata once `fetched_at` is set."""

    __tablename__ = "processes"

    number: Mapped[str] = mapped_column(String(20), primary_key=True)
    court: Mapped[str]
    segment: Mapped[str]
    class_name: Mapped[str | None]
    subjects: Mapped[list[str]] = mapped_column(default=list)
    judging_body: Mapped[str | None]
    secrecy_level: Mapped[int | None] = mapped_column(SmallInteger)
    filed_at: Mapped[datetime | None]
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    movements: Mapped[list[dict[str, Any]]] = mapped_column(
        JSONB, default=list, server_default=text("'[]'::jsonb"), deferred=True
    )
    """Oldest first (`autos.records.movements`)."""
    total_documents: Mapped[int] = mapped_column(default=0)
    fetched_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (
        Index("ix_processes_created_at_number", "created_at", "number"),
        Index("ix_processes_court_created_at_number", "court", "created_at", "number"),
    )


class Document(Base):
    """One document of a process; its `position` never changes and is never reused."""

    __tablename__ = "documents"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    process_number: Mapped[str] = mapped_column(ForeignKey("processes.number", ondelete="CASCADE"))
    position: Mapped[int]
    source_id: Mapped[str]
    alternate_ids: Mapped[list[str]] = mapped_column(default=list)
    addresses: Mapped[list[str]] = mapped_column(default=list)

    name: Mapped[str | None]
    kind: Mapped[str | None]
    kind_code: Mapped[int | None]
    instance: Mapped[str | None]
    origin_id: Mapped[str | None]
    sequence: Mapped[int | None]
    secrecy: Mapped[str | None]
    filed_at: Mapped[datetime | None]
    declared_type: Mapped[str | None]
    expected_size: Mapped[int | None] = mapped_column(BigInteger)
    text_length: Mapped[int | None]

    source_order: Mapped[int | None]
    """Place in the source's list at the last reading, from 0; None if it is no longer listed."""

    state: Mapped[str] = mapped_column(String(12), default=DocumentState.PENDING)
    reason: Mapped[str | None]
    doubt: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(default=0)
    sha256: Mapped[str | None] = mapped_column(String(64))
    size: Mapped[int | None] = mapped_column(BigInteger)
    content_type: Mapped[str | None]
    mismatch_sha256: Mapped[str | None] = mapped_column(String(64))
    """Hash of bytes whose size differed from the listed one; the same bytes again are stored."""
    job_id: Mapped[str | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    first_seen_at: Mapped[datetime] = mapped_column(default=now)
    vanished_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("process_number", "source_id"),
        UniqueConstraint("process_number", "position", name="uq_documents_position"),
        CheckConstraint(
            "state IN ('pending', 'processing', 'available', 'failed')", name="known_state"
        ),
        CheckConstraint(
            "state <> 'available' OR (sha256 IS NOT NULL AND size IS NOT NULL)",
            name="available_is_stored",
        ),
        CheckConstraint("state <> 'failed' OR reason IS NOT NULL", name="failed_says_why"),
    )

    @hybrid_property
    def is_available(self) -> bool:
        """True if the version that the source lists is in the store."""
        return self.state == DocumentState.AVAILABLE

    @property
    def is_stored(self) -> bool:
        """True if any version is in the store: the one that the source lists, or an earlier one."""
        return self.sha256 is not None


class Job(Base):
    """One run that brings a process up to date; `id` is the workflow chain's first run id."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(primary_key=True)
    process_number: Mapped[str] = mapped_column(ForeignKey("processes.number", ondelete="CASCADE"))
    status: Mapped[str] = mapped_column(default=JobStatus.PENDING)
    waiting_for: Mapped[str | None]
    waiting_since: Mapped[datetime | None]
    waiting_until: Mapped[datetime | None]
    """When the job gives up waiting; None if it waits until someone intervenes."""
    next_try_at: Mapped[datetime | None]
    reason: Mapped[str | None]
    total_documents: Mapped[int] = mapped_column(default=0)
    available_documents: Mapped[int] = mapped_column(default=0)
    doubtful_documents: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    failed_documents: Mapped[int] = mapped_column(default=0)
    bytes_stored: Mapped[int] = mapped_column(BigInteger, default=0)
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_jobs_process_number_created_at", "process_number", "created_at"),
        Index("ix_jobs_created_at_id", "created_at", "id"),
        Index("ix_jobs_status_created_at_id", "status", "created_at", "id"),
    )

    @hybrid_property
    def is_active(self) -> bool:
        """True while the job has not ended."""
        return not JobStatus(self.status).ended

    @is_active.inplace.expression
    @classmethod
    def _is_active_in_sql(cls) -> ColumnElement[bool]:
        return cls.status.in_([status for status in JobStatus if not status.ended])

    @property
    def duration_seconds(self) -> float | None:
        """From start to end, or to now; None before the start."""
        if self.started_at is None:
            return None
        return ((self.completed_at or now()) - self.started_at).total_seconds()


class Subscription(Base):
    """A webhook URL attached to a job; it is shown only to the API key that set it.

    `job_id` is None until a job has claimed the subscription.
    """

    __tablename__ = "subscriptions"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    process_number: Mapped[str] = mapped_column(ForeignKey("processes.number", ondelete="CASCADE"))
    job_id: Mapped[str | None]
    api_key_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("api_keys.id"))
    url: Mapped[str]
    payload: Mapped[str] = mapped_column(String(4), default="full")
    created_at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (
        Index("ix_subscriptions_job_id", "job_id"),
        Index("ix_subscriptions_process_number", "process_number", "created_at"),
        Index("ix_subscriptions_api_key_id", "api_key_id"),
    )


class Delivery(Base):
    """One event for one subscription; `id` is the event id, the same for attempts and replays."""

    __tablename__ = "deliveries"

    id: Mapped[str] = mapped_column(primary_key=True)
    subscription_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("subscriptions.id", ondelete="CASCADE")
    )
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    type: Mapped[str]
    status: Mapped[str] = mapped_column(String(12), default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str | None]
    next_attempt_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    delivered_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("job_id", "subscription_id"),
        CheckConstraint("status IN ('pending', 'delivered', 'failed')", name="known_status"),
        Index("ix_deliveries_subscription_id", "subscription_id"),
        Index("ix_deliveries_created_at_id", "created_at", "id"),
    )


class Attempt(Base):
    """One attempt of a delivery and the receiver's response.

    `origin` names the workflow run and the attempt's number in it: an activity that Temporal runs
    again writes to the same row.
    """

    __tablename__ = "attempts"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    delivery_id: Mapped[str] = mapped_column(ForeignKey("deliveries.id", ondelete="CASCADE"))
    number: Mapped[int]
    origin: Mapped[str]
    host: Mapped[str]
    status_code: Mapped[int | None]
    milliseconds: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[str | None]
    response_length: Mapped[int | None] = mapped_column(Integer)
    response_excerpt: Mapped[bytes | None] = mapped_column(LargeBinary)
    started_at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (
        UniqueConstraint("delivery_id", "origin"),
        Index("ix_attempts_delivery_id", "delivery_id", "number"),
    )


class Receipt(Base):
    """A webhook that the test receiver accepted for an API key; the newest few are kept."""

    __tablename__ = "test_receipts"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    api_key_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"))
    webhook_id: Mapped[str | None]
    type: Mapped[str | None]
    verified: Mapped[bool]
    verdict: Mapped[str]
    body: Mapped[str]
    body_length: Mapped[int]
    received_at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (
        Index("ix_test_receipts_api_key_id_received_at", "api_key_id", "received_at"),
    )


class ApiKey(Base):
    """A caller of the API. Only the key's hash is kept; the prefix helps to tell keys apart."""

    __tablename__ = "api_keys"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    name: Mapped[str]
    role: Mapped[str] = mapped_column(String(8), default="client")
    prefix: Mapped[str] = mapped_column(String(16))
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    webhook_secrets: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    __table_args__ = (CheckConstraint("role IN ('client', 'admin')", name="known_role"),)

    @property
    def is_active(self) -> bool:
        """True if the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now())


class IdempotencyKey(Base):
    """A request with an `Idempotency-Key` header (IETF draft), and its answer once it has one."""

    __tablename__ = "idempotency_keys"

    api_key_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("api_keys.id", ondelete="CASCADE"), primary_key=True
    )
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    status_code: Mapped[int | None] = mapped_column(SmallInteger)
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (Index("ix_idempotency_keys_created_at", "created_at"),)


class StoredCredential(Base):
    """The source's credential, encrypted; `version` counts its changes."""

    __tablename__ = "credentials"

    name: Mapped[str] = mapped_column(primary_key=True)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    version: Mapped[int] = mapped_column(default=1)
    expires_at: Mapped[datetime | None]
    refused_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(default=now, server_default=text("now()"))
