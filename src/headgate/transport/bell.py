"""The bell: wakes everybody who waits for something to change."""

import asyncio


class Bell:
    """Whoever waits is woken by the next ring; nobody's ring is lost between looking and waiting.

    Look, and if there is nothing, `await bell.wait()` without another await in between. Where looking itself
    awaits, compare `rings` from before it: another number means that it is worth another look.
    """

    def __init__(self) -> None:
        self.rings = 0
        self._waiting: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake all who wait now."""
        self.rings += 1
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
        self._waiting = None

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait for the next ring; False when so many `seconds` passed without one."""
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_future()
        try:
            # Not `wait_for`: before Python 3.12 it may swallow a cancellation that comes with the ring.
            async with asyncio.timeout(seconds):
                await asyncio.shield(self._waiting)
        except TimeoutError:
            return False
        return True


class Deadline:
    """So many seconds from now, on the monotonic clock; None is never."""

    def __init__(self, seconds: float | None) -> None:
        self._at = None if seconds is None else asyncio.get_running_loop().time() + seconds

    def left(self) -> float | None:
        """The seconds left, at least zero."""
        return None if self._at is None else max(0.0, self._at - asyncio.get_running_loop().time())
