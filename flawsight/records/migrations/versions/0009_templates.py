"""Templates of parts, and who kept or removed them."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "template_changes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("by", sa.String(80), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("part_number", sa.String(80, collation="NOCASE"), nullable=False),
        sa.Column("part_revision", sa.String(80, collation="NOCASE"), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("image_sha256", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_template_changes"),
    )
    op.create_index("ix_template_changes_part_number", "template_changes", ["part_number"])


def downgrade() -> None:
    op.drop_table("template_changes")
