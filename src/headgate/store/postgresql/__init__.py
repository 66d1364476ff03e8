"""PostgreSQL as a store: COPY for what is good, a staging table for what is not."""

from headgate.store.postgresql.store import PostgreSQLStore

__all__ = ["PostgreSQLStore"]
