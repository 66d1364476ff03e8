"""Addresses of other services, as they may be shown."""

from urllib.parse import urlsplit


def redacted(url: str) -> str:
    """A URL without its user, password, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if url else ""
