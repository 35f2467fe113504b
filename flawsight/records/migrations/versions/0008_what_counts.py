"""The catalogue says what counts in the end, who inspected and where; deletions say which lots they met.

Its table is made anew, since SQLite adds no column without a default. What was altered in the old one stays
so, to be found; an answer that can no longer be read stops nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

INDEXED = (
    "verdict", "predicted_class", "model", "review_state", "confidence", "part_number", "lot", "serial",
    "name", "inspector", "station", "final_verdict", "disposition",
)  # fmt: skip
PAIRS = {
    "queue": ["review_state", "certainty"],
    "undecided": ["undecided", "certainty"],
    "class_verdict": ["predicted_class", "verdict"],
    "class_confidence": ["predicted_class", "confidence"],
    "verdict_confidence": ["verdict", "confidence"],
    "class_final": ["predicted_class", "final_verdict"],
    "verdict_final": ["verdict", "final_verdict"],
    "final_confidence": ["final_verdict", "confidence"],
}
FILL = """
INSERT INTO catalogue_anew
SELECT c.at, c.verdict, c.predicted_class, c.model, c.review_state, c.confidence, c.certainty, c.part_number,
    c.lot, c.serial, c.name, c.number, c.id,
    coalesce(CASE WHEN json_valid(i.data) THEN i.data ->> '$.context.inspector' END, ''),
    coalesce(CASE WHEN json_valid(i.data) THEN i.data ->> '$.context.station' END, ''),
    coalesce(r.verdict, c.verdict), coalesce(r.class_id, c.predicted_class), coalesce(r.disposition, ''),
    r.id IS NULL AND c.verdict IN ('review', 'unknown')
FROM catalogue c JOIN inspections i ON i.id = c.id
LEFT JOIN reviews r ON r.id = (SELECT max(id) FROM reviews WHERE inspection_id = c.id)
ORDER BY c.at
"""


def upgrade() -> None:
    def text(name: str, length: int) -> sa.Column[str]:
        return sa.Column(name, sa.String(length, collation="NOCASE"), nullable=False)

    op.create_table(
        "catalogue_anew",
        sa.Column("at", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("predicted_class", sa.String(80), nullable=False),
        sa.Column("model", sa.String(120), nullable=False),
        sa.Column("review_state", sa.String(16), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("certainty", sa.Double(), nullable=False),
        text("part_number", 80),
        text("lot", 80),
        text("serial", 80),
        text("name", 200),
        text("number", 24),
        sa.Column("id", sa.String(32), nullable=False),
        text("inspector", 80),
        text("station", 80),
        sa.Column("final_verdict", sa.String(16), nullable=False),
        sa.Column("final_class", sa.String(80), nullable=False),
        sa.Column("disposition", sa.String(16), nullable=False),
        sa.Column("undecided", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("at", name="pk_catalogue"),
        sa.UniqueConstraint("number", name="uq_catalogue_number"),
        sa.UniqueConstraint("id", name="uq_catalogue_id"),
        sa.ForeignKeyConstraint(
            ["id"], ["inspections.id"], name="fk_catalogue_id_inspections", ondelete="CASCADE"
        ),
    )
    op.execute(FILL)
    op.drop_table("catalogue")
    op.rename_table("catalogue_anew", "catalogue")
    for column in INDEXED:
        op.create_index(f"ix_catalogue_{column}", "catalogue", [column])
    for name, columns in PAIRS.items():
        op.create_index(f"ix_catalogue_{name}", "catalogue", columns)
    op.create_table(
        "lot_deletions",
        sa.Column("deletion_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("lot_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("inspections", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("deletion_id", "lot_id", name="pk_lot_deletions"),
        sa.ForeignKeyConstraint(
            ["deletion_id"],
            ["deletions.id"],
            name="fk_lot_deletions_deletion_id_deletions",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["lot_id"], ["lots.id"], name="fk_lot_deletions_lot_id_lots", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_lot_deletions_lot_id", "lot_deletions", ["lot_id"])


def downgrade() -> None:
    op.drop_table("lot_deletions")
    for name in ("undecided", "class_final", "verdict_final", "final_confidence"):
        op.drop_index(f"ix_catalogue_{name}", "catalogue")
    for column in ("inspector", "station", "final_verdict", "disposition"):
        op.drop_index(f"ix_catalogue_{column}", "catalogue")
    for column in ("inspector", "station", "final_verdict", "final_class", "disposition", "undecided"):
        op.drop_column("catalogue", column)
