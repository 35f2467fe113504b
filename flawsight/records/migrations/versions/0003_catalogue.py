"""The catalogue that the history is searched by, reviews, and the record of deletions."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INDEXED = (
    "verdict", "predicted_class", "model", "review_state", "confidence",
    "part_number", "lot", "serial", "name",
)  # fmt: skip
PAIRS = {
    "queue": ["review_state", "certainty"],
    "class_verdict": ["predicted_class", "verdict"],
    "class_confidence": ["predicted_class", "confidence"],
    "verdict_confidence": ["verdict", "confidence"],
}

# Microseconds since 1970. Two rows of the same microsecond are told apart by their order.
FILL = """
INSERT INTO catalogue
SELECT at + row_number() OVER (PARTITION BY at ORDER BY number) - 1, verdict, predicted_class,
    data ->> '$.model.name' || ' ' || (data ->> '$.model.version'), 'none', data ->> '$.confidence',
    CASE verdict WHEN 'unknown' THEN 0.0
        ELSE max(data ->> '$.defect_probability', 1 - (data ->> '$.defect_probability')) END,
    coalesce(data ->> '$.context.part_number', ''), coalesce(data ->> '$.context.lot', ''),
    coalesce(data ->> '$.context.serial', ''), data ->> '$.image.name', number, id
FROM (SELECT *, CAST(strftime('%s', created_at) AS INTEGER) * 1000000
        + CAST(substr(created_at || '000000', 21, 6) AS INTEGER) AS at FROM inspections)
"""


def upgrade() -> None:
    def text(name: str, length: int) -> sa.Column[str]:
        return sa.Column(name, sa.String(length, collation="NOCASE"), nullable=False)

    op.create_table(
        "catalogue",
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
        sa.PrimaryKeyConstraint("at", name="pk_catalogue"),
        sa.UniqueConstraint("number", name="uq_catalogue_number"),
        sa.UniqueConstraint("id", name="uq_catalogue_id"),
        sa.ForeignKeyConstraint(
            ["id"], ["inspections.id"], name="fk_catalogue_id_inspections", ondelete="CASCADE"
        ),
    )
    op.execute(FILL)
    for column in INDEXED:
        op.create_index(f"ix_catalogue_{column}", "catalogue", [column])
    for name, columns in PAIRS.items():
        op.create_index(f"ix_catalogue_{name}", "catalogue", columns)
    op.create_table(
        "reviews",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("inspection_id", sa.String(32), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("reviewer", sa.String(80), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("class_id", sa.String(80), nullable=False),
        sa.Column("boxes", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("disposition", sa.String(16), nullable=False),
        sa.Column("rationale", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
        sa.ForeignKeyConstraint(
            ["inspection_id"],
            ["inspections.id"],
            name="fk_reviews_inspection_id_inspections",
            ondelete="CASCADE",
        ),
    )
    for column in ("inspection_id", "created_at"):
        op.create_index(f"ix_reviews_{column}", "reviews", [column])
    op.create_table(
        "deletions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("by", sa.String(80), nullable=False),
        sa.Column("older_than_days", sa.Integer(), nullable=False),
        sa.Column("only_accepted", sa.Boolean(), nullable=False),
        sa.Column("inspections", sa.Integer(), nullable=False),
        sa.Column("first_number", sa.String(24), nullable=False),
        sa.Column("last_number", sa.String(24), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deletions"),
    )


def downgrade() -> None:
    for table in ("deletions", "reviews", "catalogue"):
        op.drop_table(table)
