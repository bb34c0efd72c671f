"""SQL: the schema, its migrations, one writer with group commit, readers beside it."""
