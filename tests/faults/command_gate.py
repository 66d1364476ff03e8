"""A gate that ends itself without warning at a chosen step: `STEP=7 python -m tests.faults.command_gate run CONFIG`.

A step is the beginning or the end of a call that leaves the process: to the database, or to a stream.
"""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from headgate.cli import main
from headgate.runtime.ingest.database import Database
from headgate.runtime.stream import Stream

MARK = "crash"  # a file in the working directory: steps count from when it is there
Work = Callable[..., Awaitable[Any]]


class Fuse:
    """Counts steps, and ends the process at the last one."""

    def __init__(self, steps: int) -> None:
        self._steps, self._mark = steps, Path(MARK)

    def around(self, work: Work) -> Work:
        """The same work, with a step before it and one behind it."""

        async def worked(*arguments: Any) -> Any:
            self._step()
            result = await work(*arguments)
            self._step()
            return result

        return worked

    def _step(self) -> None:
        if self._mark.exists():
            self._steps -= 1
            if self._steps == 0:
                os._exit(9)


if __name__ == "__main__":
    fuse = Fuse(int(os.environ["STEP"]))
    Database.run = fuse.around(Database.run)  # type: ignore[method-assign]
    Stream.publish = fuse.around(Stream.publish)  # type: ignore[method-assign]
    main()
