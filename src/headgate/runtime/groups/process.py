"""A child process that ends when we end, however we end, and is told by a pipe what nobody else may know."""

import asyncio
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence

_LENGTH = struct.Struct(">I")


class Process:
    """A Python module as a process. It reads what it is told from a pipe, and takes the pipe's end for ours."""

    def __init__(self, module: str, told: bytes, *, pass_fds: Sequence[int] = ()) -> None:
        theirs, self._pipe = os.pipe()
        try:
            self._popen = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", module, str(theirs)],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs, *pass_fds),
                process_group=0,  # Ctrl-C is for us; we tell our children
            )
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(theirs)
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        # In threads of their own: to write may block, and so does to wait.
        threading.Thread(target=self._tell, args=(told,), name="headgate-tell", daemon=True).start()
        threading.Thread(target=self._wait, name="headgate-wait", daemon=True).start()

    def __repr__(self) -> str:
        return f"<Process {self.pid}>"

    @property
    def pid(self) -> int:
        return self._popen.pid

    def _tell(self, told: bytes) -> None:
        try:
            rest = memoryview(_LENGTH.pack(len(told)) + told)
            while rest:
                rest = rest[os.write(self._pipe, rest) :]
        except OSError:
            pass  # it is gone already, which is told elsewhere

    def _wait(self) -> None:
        code = self._popen.wait()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._gone, code)

    def _gone(self, code: int) -> None:
        os.close(self._pipe)
        if not self._ended.done():
            self._ended.set_result(code)

    async def ended(self) -> int:
        """Return when it is over: its exit code, or minus the signal."""
        return await asyncio.shield(self._ended)

    def kill(self) -> None:
        """End it now."""
        self._popen.kill()


def told_by(pipe: int) -> bytes:
    """In the child: what it was told."""
    [length] = _LENGTH.unpack(_read(pipe, _LENGTH.size))
    return _read(pipe, length)


def _read(pipe: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = os.read(pipe, count - len(data))
        if not more:
            os._exit(0)
        data += more
    return data


def end_with_parent(pipe: int) -> None:
    """In the child: end when the parent does, and leave signals that are meant for it to it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _ask_the_kernel()
    threading.Thread(target=_end_at_its_end, args=(pipe,), name="headgate-parent", daemon=True).start()


def _end_at_its_end(pipe: int) -> None:
    os.read(pipe, 1)  # nothing comes: it returns when the other end is closed, because its owner is gone
    os._exit(0)


def _ask_the_kernel() -> None:
    """Linux ends a child with its parent, also one that hangs in a call that lets no thread of Python run."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
        # Had the parent ended before this, the pipe tells.


def ending(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"died of {signal.Signals(-code).name}"
    except ValueError:
        return f"died of signal {-code}"
