"""The hash chain over everything that is filed, runs of checks, and golden parts."""

import sqlalchemy as sa
from alembic import op

from flawsight.records.links import adopt

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "chain",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("ref", sa.String(32), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_chain"),
        sa.UniqueConstraint("previous", name="uq_chain_previous"),
    )
    op.create_index("ix_chain_ref", "chain", ["ref", "kind"])
    for verb in ("UPDATE", "DELETE"):  # by mistake, that is: whoever means it drops the trigger
        op.execute(
            f"CREATE TRIGGER chain_no_{verb.lower()} BEFORE {verb} ON chain "
            "BEGIN SELECT RAISE(ABORT, 'the chain is only ever added to'); END"
        )
    op.create_table(
        "checks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("by", sa.String(80), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("seen_at", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_checks"),
    )
    op.create_index("ix_checks_kind", "checks", ["kind"])
    op.create_table(
        "golden_parts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("image_sha256", sa.String(64), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("class_id", sa.String(80), nullable=False),
        sa.Column("source", sa.String(24), nullable=False),
        sa.Column("added_at", sa.DateTime(), nullable=False),
        sa.Column("added_by", sa.String(80), nullable=False),
        sa.Column("removed_at", sa.DateTime(), nullable=True),
        sa.Column("removed_by", sa.String(80), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_golden_parts"),
    )
    adopt(op.get_bind())


def downgrade() -> None:
    for table in ("golden_parts", "checks", "chain"):
        op.drop_table(table)
