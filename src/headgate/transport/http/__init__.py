"""The http transport: a stream that lives in another service and is read by polling it.

It speaks what `GET .../messages` of any gate speaks, and what a service of the older kind speaks that just
drains: JSON messages, 204 when there is nothing, no positions. A peer that is dead, slow or answers garbage
never raises into a reader: reading waits, says why in `trouble()`, and goes on when the peer is back.
"""

from headgate.transport.http.transport import HttpTransport

__all__ = ["HttpTransport"]
