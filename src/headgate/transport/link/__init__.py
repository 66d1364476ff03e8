"""The link: signed frames between the processes of one service, over a loopback socket."""

from headgate.transport.link.connection import Link, connect
from headgate.transport.link.server import LinkServer

__all__ = ["Link", "LinkServer", "connect"]
