"""The changes of the models that answer are links of the chain, too."""

from alembic import op

from flawsight.records.links import adopt_models

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    adopt_models(op.get_bind())


def downgrade() -> None:
    """The chain is only ever added to."""
