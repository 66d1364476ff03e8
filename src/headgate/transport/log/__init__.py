"""The log transport: streams in one SQLite file, kept through a kill and a power cut.

One thread writes. Everything that is asked of it while it commits goes into the next transaction, so many small
batches cost one sync. Readers have connections of their own and never wait for the writer.
"""

from headgate.transport.log.transport import LogTransport

__all__ = ["LogTransport"]
