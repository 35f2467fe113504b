"""Lots, the inspections in each, and what was decided about it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SEARCHED = ("number", "part_number", "supplier", "state")


def upgrade() -> None:
    def text(name: str) -> sa.Column[str]:
        return sa.Column(name, sa.String(80, collation="NOCASE"), nullable=False)

    op.create_table(
        "lots",
        sa.Column("id", sa.Integer(), nullable=False),
        text("number"),
        text("part_number"),
        sa.Column("part_revision", sa.String(80), nullable=False),
        text("supplier"),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("level", sa.String(3), nullable=False),
        sa.Column("limits", sa.JSON(), nullable=False),
        sa.Column("drawn", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_lots"),
    )
    for column in SEARCHED:
        op.create_index(f"ix_lots_{column}", "lots", [column])
    # A number may come again, but only one lot of that number is open at a time.
    op.create_index("uq_lots_open", "lots", ["number"], unique=True, sqlite_where=sa.text("state = 'open'"))
    op.create_table(
        "lot_parts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("lot_id", sa.Integer(), nullable=False),
        sa.Column("inspection_id", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_lot_parts"),
        sa.UniqueConstraint("inspection_id", name="uq_lot_parts_inspection_id"),
        sa.ForeignKeyConstraint(["lot_id"], ["lots.id"], name="fk_lot_parts_lot_id_lots", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["inspection_id"],
            ["inspections.id"],
            name="fk_lot_parts_inspection_id_inspections",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_lot_parts_lot_id", "lot_parts", ["lot_id"])
    op.create_table(
        "lot_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("lot_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("by", sa.String(80), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("rationale", sa.Text(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_lot_events"),
        sa.ForeignKeyConstraint(
            ["lot_id"], ["lots.id"], name="fk_lot_events_lot_id_lots", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_lot_events_lot_id", "lot_events", ["lot_id"])


def downgrade() -> None:
    for table in ("lot_events", "lot_parts", "lots"):
        op.drop_table(table)
