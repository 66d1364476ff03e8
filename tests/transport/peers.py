"""Peers for tests that do what a service should not: each is a server of a few lines."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Behaviour = Callable[[socket.socket, int], None]  # a connection with its request read, and which one it is


@contextmanager
def peer(behave: Behaviour) -> Iterator[str]:
    """A server that does this with each connection, in a thread for each; the address of its messages."""
    listening = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []
    open_ones: list[socket.socket] = []

    def serve(connection: socket.socket, number: int) -> None:
        with connection, suppress(OSError):
            while connection.recv(65_536):
                behave(connection, number)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                open_ones.append(connection)
                threads.append(threading.Thread(target=serve, args=(connection, len(threads)), daemon=True))
                threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        host, port = listening.getsockname()
        yield f"http://{host}:{port}/messages"
    finally:
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for connection in open_ones:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in (accepting, *threads):
            thread.join(10)


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    """A response. Names of headers are given with underscores."""
    named = {"content-type": "application/json", "content-length": str(len(body))}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def saying(*answers: bytes) -> Behaviour:
    """Gives these answers in turn, and the last for good."""
    left = list(answers)

    def behave(connection: socket.socket, number: int) -> None:
        connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    return behave
