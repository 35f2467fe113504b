"""The tables of the history. A change here needs a migration in ``migrations/versions``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, ForeignKey, Index, MetaData, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """SQLite keeps no zone: store UTC, give back aware UTC."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    # Named constraints, so that a later migration can drop or change them.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class InspectionRow(Base):
    """One inspection. ``data`` is the whole answer; the columns beside it repeat what is searched."""

    __tablename__ = "inspections"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    number: Mapped[str] = mapped_column(String(24), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    verdict: Mapped[str] = mapped_column(String(16), index=True)
    predicted_class: Mapped[str] = mapped_column(String(80), index=True)
    image_sha256: Mapped[str] = mapped_column(String(64), index=True)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    pictures: Mapped[dict[str, str]] = mapped_column(JSON)  # name to file name
    record_sha256: Mapped[str] = mapped_column(String(64))


class NumberRow(Base):
    """The last running number given in a year; a number is never given twice."""

    __tablename__ = "numbers"

    year: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last: Mapped[int]


class UserRow(Base):
    """A person or a program that may sign in."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)  # lower case
    role: Mapped[str] = mapped_column(String(16))
    password: Mapped[str | None] = mapped_column(String(255))  # salted hash; none: tokens only
    enabled: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class TokenRow(Base):
    """An API token of a user; only its hash is kept."""

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    title: Mapped[str] = mapped_column(String(80))
    digest: Mapped[str] = mapped_column(String(64), unique=True)  # SHA-256
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SessionRow(Base):
    """A browser that is signed in; the cookie holds the secret, this its hash."""

    __tablename__ = "sessions"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)  # SHA-256
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AttemptRow(Base):
    """Failed sign-ins of one account or one address since the last success."""

    __tablename__ = "attempts"

    key: Mapped[str] = mapped_column(String(160), primary_key=True)
    failures: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)


class OtherClassRow(Base):
    """A class that is boxed on an inspection beside its main one, to be found by; in order of time."""

    __tablename__ = "other_classes"

    class_id: Mapped[str] = mapped_column(String(80), primary_key=True)
    at: Mapped[int] = mapped_column(
        ForeignKey("catalogue.at", ondelete="CASCADE"), primary_key=True, autoincrement=False, index=True
    )

    __table_args__ = ({"sqlite_with_rowid": False},)


class CatalogueRow(Base):
    """What is searched of one inspection, in a narrow row of its own.

    The key is the time of filing, so that every index below is in order of time within one value, and
    a page of any filter is one short walk along one index.
    """

    __tablename__ = "catalogue"

    at: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # microseconds since 1970, UTC
    verdict: Mapped[str] = mapped_column(String(16), index=True)
    predicted_class: Mapped[str] = mapped_column(String(80), index=True)
    model: Mapped[str] = mapped_column(String(120), index=True)  # name and version
    review_state: Mapped[str] = mapped_column(String(16), index=True)  # one of catalogue.REVIEW_STATES
    confidence: Mapped[float] = mapped_column(index=True)
    certainty: Mapped[float]  # of good or bad: 0 unknown, 0.5 a toss-up, 1 sure
    part_number: Mapped[str] = mapped_column(String(80, collation="NOCASE"), index=True)
    lot: Mapped[str] = mapped_column(String(80, collation="NOCASE"), index=True)
    serial: Mapped[str] = mapped_column(String(80, collation="NOCASE"), index=True)
    name: Mapped[str] = mapped_column(String(200, collation="NOCASE"), index=True)  # of the image
    number: Mapped[str] = mapped_column(String(24, collation="NOCASE"), unique=True)
    id: Mapped[str] = mapped_column(ForeignKey("inspections.id", ondelete="CASCADE"), unique=True)
    inspector: Mapped[str] = mapped_column(String(80, collation="NOCASE"), index=True)
    station: Mapped[str] = mapped_column(String(80, collation="NOCASE"), index=True)
    # What counts in the end: the latest answer of a person, else that of the model.
    final_verdict: Mapped[str] = mapped_column(String(16), index=True)
    final_class: Mapped[str] = mapped_column(String(80))
    disposition: Mapped[str] = mapped_column(String(16), index=True)  # empty if none was made
    undecided: Mapped[bool]  # the model left it to a person, and nobody has answered

    # Pairs of frequent values that hardly ever meet, and frequent values in order of confidence.
    __table_args__ = (
        Index("ix_catalogue_queue", "review_state", "certainty"),
        Index("ix_catalogue_undecided", "undecided", "certainty"),
        Index("ix_catalogue_class_verdict", "predicted_class", "verdict"),
        Index("ix_catalogue_class_confidence", "predicted_class", "confidence"),
        Index("ix_catalogue_verdict_confidence", "verdict", "confidence"),
        Index("ix_catalogue_class_final", "predicted_class", "final_verdict"),
        Index("ix_catalogue_verdict_final", "verdict", "final_verdict"),
        Index("ix_catalogue_final_confidence", "final_verdict", "confidence"),
    )


class ReviewRow(Base):
    """One answer of a person. Rows are only ever added: the latest one counts."""

    __tablename__ = "reviews"

    id: Mapped[int] = mapped_column(primary_key=True)
    inspection_id: Mapped[str] = mapped_column(ForeignKey("inspections.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    reviewer: Mapped[str] = mapped_column(String(80))
    verdict: Mapped[str] = mapped_column(String(16))
    class_id: Mapped[str] = mapped_column(String(80))
    boxes: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16))  # confirmed or corrected
    disposition: Mapped[str] = mapped_column(String(16))  # empty if none was made
    rationale: Mapped[str] = mapped_column(Text)


class DeletionRow(Base):
    """What a retention rule removed; the record stays when the inspections are gone."""

    __tablename__ = "deletions"

    id: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    by: Mapped[str] = mapped_column(String(80))
    older_than_days: Mapped[int]
    only_accepted: Mapped[bool]
    inspections: Mapped[int]
    first_number: Mapped[str] = mapped_column(String(24))
    last_number: Mapped[str] = mapped_column(String(24))


class LotDeletionRow(Base):
    """How many inspections of a closed lot went with a deletion."""

    __tablename__ = "lot_deletions"

    deletion_id: Mapped[int] = mapped_column(
        ForeignKey("deletions.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    lot_id: Mapped[int] = mapped_column(
        ForeignKey("lots.id", ondelete="CASCADE"), primary_key=True, autoincrement=False, index=True
    )
    inspections: Mapped[int]


class LotRow(Base):
    """One lot and the plan it is held against; ``state`` repeats the latest decision, to be searched."""

    __tablename__ = "lots"

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(String(80, collation="NOCASE"), index=True)
    part_number: Mapped[str] = mapped_column(String(80, collation="NOCASE"), index=True)
    part_revision: Mapped[str] = mapped_column(String(80))
    supplier: Mapped[str] = mapped_column(String(80, collation="NOCASE"), index=True)
    size: Mapped[int]
    level: Mapped[str] = mapped_column(String(3))
    limits: Mapped[dict[str, str]] = mapped_column(JSON)  # severity to AQL, as the tables write it
    drawn: Mapped[str] = mapped_column(String(16))  # one of lot.DRAWN
    state: Mapped[str] = mapped_column(String(16), index=True)  # one of lot.STATES

    # A number may come again, but only one lot of that number is open at a time.
    __table_args__ = (Index("uq_lots_open", "number", unique=True, sqlite_where=text("state = 'open'")),)


class LotPartRow(Base):
    """An inspection that was filed into an open lot; ``id`` follows the order of filing."""

    __tablename__ = "lot_parts"

    id: Mapped[int] = mapped_column(primary_key=True)
    lot_id: Mapped[int] = mapped_column(ForeignKey("lots.id", ondelete="CASCADE"), index=True)
    inspection_id: Mapped[str] = mapped_column(ForeignKey("inspections.id", ondelete="CASCADE"), unique=True)


class LotEventRow(Base):
    """What a person did with a lot. Rows are only ever added."""

    __tablename__ = "lot_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    lot_id: Mapped[int] = mapped_column(ForeignKey("lots.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    by: Mapped[str] = mapped_column(String(80))
    kind: Mapped[str] = mapped_column(String(16))  # opened, closed or disposed
    decision: Mapped[str] = mapped_column(String(16))
    rationale: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)  # terms of an opening, figures of a closing


class LinkRow(Base):
    """One link of the hash chain, see ``chain``. The database itself refuses to change or delete one."""

    __tablename__ = "chain"

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # 1, 2, 3, ... without a gap
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    kind: Mapped[str] = mapped_column(String(16))  # one of chain.KINDS
    ref: Mapped[str] = mapped_column(String(32))  # id of the row it stands for
    content: Mapped[dict[str, Any]] = mapped_column(JSON)  # what the row said, mostly as hashes
    previous: Mapped[str] = mapped_column(String(64), unique=True)  # so that no two links follow one
    hash: Mapped[str] = mapped_column(String(64))

    __table_args__ = (Index("ix_chain_ref", "ref", "kind"),)


class CheckRow(Base):
    """One run of a check, of the records or of the golden parts, or leave to go on without one."""

    __tablename__ = "checks"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), index=True)  # one of checks.KINDS
    fingerprint: Mapped[str] = mapped_column(String(64))  # of model and thresholds; empty: of no matter
    by: Mapped[str] = mapped_column(String(80))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)  # when its progress was last written
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    done: Mapped[int]
    total: Mapped[int]
    passed: Mapped[bool | None]
    result: Mapped[dict[str, Any]] = mapped_column(JSON)


class GoldenRow(Base):
    """A part of known state; its picture lies in the store's folder ``golden`` under its hash."""

    __tablename__ = "golden_parts"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    image_sha256: Mapped[str] = mapped_column(String(64))
    verdict: Mapped[str] = mapped_column(String(16))
    class_id: Mapped[str] = mapped_column(String(80))  # empty if any class will do
    source: Mapped[str] = mapped_column(String(24))  # number of the inspection it was taken from, or empty
    template_sha256: Mapped[str] = mapped_column(String(64), server_default=text("''"))  # empty: against none
    template_name: Mapped[str] = mapped_column(String(200), server_default=text("''"))
    added_at: Mapped[datetime] = mapped_column(UtcDateTime)
    added_by: Mapped[str] = mapped_column(String(80))
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    removed_by: Mapped[str] = mapped_column(String(80))


class ModelChangeRow(Base):
    """One change of the models that answer. The latest row says what holds now."""

    __tablename__ = "model_changes"

    id: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    by: Mapped[str] = mapped_column(String(80))
    why: Mapped[str] = mapped_column(String(500))
    kind: Mapped[str] = mapped_column(String(16))  # one of models.KINDS
    model: Mapped[str] = mapped_column(String(120))  # key of the model that was meant
    sha256: Mapped[str] = mapped_column(String(64))  # of its file
    setup: Mapped[dict[str, Any]] = mapped_column(JSON)  # models.Setup after the change


class ShadowRow(Base):
    """What a second model said of an inspection, silently."""

    __tablename__ = "shadow_answers"

    id: Mapped[int] = mapped_column(primary_key=True)
    inspection_id: Mapped[str] = mapped_column(ForeignKey("inspections.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    model: Mapped[str] = mapped_column(String(120))  # its key
    sha256: Mapped[str] = mapped_column(String(64))
    verdict: Mapped[str] = mapped_column(String(16))
    predicted_class: Mapped[str] = mapped_column(String(80))
    confidence: Mapped[float]
    defect_probability: Mapped[float]
    agrees: Mapped[bool]  # same verdict and same class

    __table_args__ = (Index("ix_shadow_answers_agreement", "model", "agrees"),)


class TemplateChangeRow(Base):
    """What was done with the template of a part. Rows are only ever added: the latest one of a part holds."""

    __tablename__ = "template_changes"

    id: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    by: Mapped[str] = mapped_column(String(80))
    kind: Mapped[str] = mapped_column(String(16))  # kept or removed
    part_number: Mapped[str] = mapped_column(String(80, collation="NOCASE"), index=True)
    part_revision: Mapped[str] = mapped_column(String(80, collation="NOCASE"))  # empty: any
    name: Mapped[str] = mapped_column(String(200))  # of the picture, as its sender called it
    image_sha256: Mapped[str] = mapped_column(String(64))
