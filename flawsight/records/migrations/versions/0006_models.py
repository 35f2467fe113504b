"""Which models answer, who decided so, and what a second model would have said."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "model_changes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("by", sa.String(80), nullable=False),
        sa.Column("why", sa.String(500), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("model", sa.String(120), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("setup", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_model_changes"),
    )
    op.create_table(
        "shadow_answers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("inspection_id", sa.String(32), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("model", sa.String(120), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("predicted_class", sa.String(80), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("defect_probability", sa.Double(), nullable=False),
        sa.Column("agrees", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_shadow_answers"),
        sa.ForeignKeyConstraint(
            ["inspection_id"],
            ["inspections.id"],
            name="fk_shadow_answers_inspection_id_inspections",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_shadow_answers_inspection_id", "shadow_answers", ["inspection_id"])
    op.create_index("ix_shadow_answers_agreement", "shadow_answers", ["model", "agrees"])


def downgrade() -> None:
    for table in ("shadow_answers", "model_changes"):
        op.drop_table(table)
