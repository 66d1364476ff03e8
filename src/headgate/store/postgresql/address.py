"""The address: where a database is, with what we set where its URL says nothing. No message has its password."""

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from headgate.errors import HeadgateError

_DEFAULTS = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "application_name": "headgate",
}
# A time without an offset is in UTC, and what we read back has to look the same everywhere.
_OPTIONS = "-c TimeZone=UTC -c DateStyle=ISO -c extra_float_digits=1 -c standard_conforming_strings=on"


class Address:
    """What libpq is given, and what people are told. Raises a `HeadgateError` for what is no URL of a database."""

    def __init__(self, url: str) -> None:
        _, _, rest = url.partition("://")
        try:
            given = {name: str(value) for name, value in conninfo_to_dict(f"postgresql://{rest}").items() if value}
        except psycopg.ProgrammingError:
            # The client's own words may hold a piece of the password.
            raise HeadgateError(
                "the database's URL is not one: in names and passwords, %, @, : and / are %-coded"
            ) from None
        host, port = given.get("host", "the local socket"), given.get("port", "").strip(",") or "5432"
        if "@" in host or not all(number.isdigit() or not number for number in port.split(",")):
            raise HeadgateError(
                "the database's URL has no host and port: an @ or / in a password is written as %40 or %2F"
            )
        self.told = f"{host}:{port}"
        # What the URL says comes first, but for how times and numbers look.
        options = f"{given.get('options', '')} {_OPTIONS}".strip()
        self._conninfo = make_conninfo("", **{**_DEFAULTS, **given, "options": options})

    def __repr__(self) -> str:
        return f"<Address {self.told}>"

    def connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        """A new connection, on which every statement is a transaction unless one is begun."""
        return psycopg.connect(self._conninfo, autocommit=True, prepare_threshold=None)
