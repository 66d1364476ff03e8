"""Stores: the databases that records go into. One contract, and one suite that every store passes."""

from urllib.parse import unquote, urlsplit

from headgate.errors import HeadgateError
from headgate.store.base import Store


def open_store(url: str) -> Store:
    """The store of a URL, not connected yet. Raises a `HeadgateError` when there is none for it."""
    scheme = urlsplit(url).scheme.partition("+")[0]
    if scheme == "sqlite":
        from headgate.store.sqlite import SQLiteStore

        return SQLiteStore(_path(url))
    if scheme in ("postgresql", "postgres"):
        try:
            from headgate.store.postgresql import PostgreSQLStore
        except ModuleNotFoundError as error:
            if error.name != "psycopg":
                raise
            raise HeadgateError("PostgreSQL is not installed here: pip install 'headgate[postgres]'") from None
        return PostgreSQLStore(url)
    raise HeadgateError(f"a database with {scheme!r} is not supported; use sqlite:///file.db or postgresql://host/name")


def _path(url: str) -> str:
    """The path in sqlite:///relative or sqlite:////absolute; sqlite:// alone is one that lives in memory."""
    parts = urlsplit(url)
    if parts.netloc or parts.query:
        raise HeadgateError("a file of SQLite has three slashes before its path, or four, and nothing behind it")
    return unquote(parts.path.removeprefix("/")) or ":memory:"
