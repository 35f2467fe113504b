"""Alembic's entry: runs on the connection, and in the transaction, that the store hands over."""

from alembic import context

from flawsight.records.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite cannot alter most things in place
)
with context.begin_transaction():
    context.run_migrations()
