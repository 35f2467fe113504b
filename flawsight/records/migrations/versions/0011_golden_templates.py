"""A golden part from an inspection with a template is checked with it. Parts of before have none."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

COLUMNS = {"template_sha256": 64, "template_name": 200}


def upgrade() -> None:
    for name, length in COLUMNS.items():
        column = sa.Column(name, sa.String(length), nullable=False, server_default=sa.text("''"))
        op.add_column("golden_parts", column)


def downgrade() -> None:
    for name in COLUMNS:
        op.drop_column("golden_parts", name)
