"""Alembic's entry: runs within the transaction that `laterna.store.migrate` holds."""

from alembic import context

from laterna.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
