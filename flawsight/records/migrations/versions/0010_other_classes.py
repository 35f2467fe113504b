"""An inspection is found by each class that is boxed on it, not by the main one alone.

What was altered in an answer meanwhile, or can no longer be read, stops nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

FILL = """
INSERT INTO other_classes
SELECT DISTINCT found.class_id, found.at FROM (
    SELECT c.at, c.predicted_class, CASE WHEN box.type = 'object' THEN box.value ->> '$.class' END AS class_id
    FROM catalogue c JOIN inspections i ON i.id = c.id,
    json_each(CASE WHEN json_valid(i.data) THEN i.data ELSE '{}' END, '$.boxes') box
) found
WHERE typeof(found.class_id) = 'text' AND found.class_id <> found.predicted_class
"""


def upgrade() -> None:
    op.create_table(
        "other_classes",
        sa.Column("class_id", sa.String(80), nullable=False),
        sa.Column("at", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("class_id", "at", name="pk_other_classes"),
        sa.ForeignKeyConstraint(
            ["at"], ["catalogue.at"], name="fk_other_classes_at_catalogue", ondelete="CASCADE"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_other_classes_at", "other_classes", ["at"])
    op.execute(FILL)


def downgrade() -> None:
    op.drop_table("other_classes")
