"""A child process with its output in a file, that ends when we end, however we end."""

import pwd
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# Below the range the kernel takes source ports from (32768 and up). A client that reconnects to a stopped
# server inside that range can be given the server's own port, connect to itself and keep the port for good.
_PORTS = range(15_000, 30_000)

# Waits for the process to be gone (five seconds at most) before it removes what the process wrote.
_END_PROCESS = """
kill -s "$1" "$2" 2>/dev/null
for _ in $(seq 100); do kill -0 "$2" 2>/dev/null || break; sleep 0.05; done
rm -rf -- "$3"
"""


class ServiceError(Exception):
    """A service did not do what it should; the message ends with what it printed last."""


class Unavailable(Exception):
    """This way of having a service is not open here; the message says why."""


class Uncontrollable(Exception):
    """The service is not ours to stop, kill or pause."""


def free_port() -> int:
    """A loopback port that is free now and that no outgoing connection will be given."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_until(ready: Callable[[], bool], *, within: float, every: float = 0.02) -> bool:
    """Ask again and again until the answer is yes (True) or the time is over (False)."""
    deadline = time.monotonic() + within
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


class Watchdog:
    """A shell that reads a pipe only we write to. At its end we are gone, even by SIGKILL: then it acts."""

    def __init__(self, script: str, *arguments: str) -> None:
        self._shell = subprocess.Popen(
            ["sh", "-c", f"read _\n{script}", "watchdog", *arguments],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        self._shell.kill()
        self._shell.communicate()


class Daemon:
    """A server process of ours, with all it owns in one folder. The folder goes with us; `stop` leaves it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        last_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.command = list(command)
        self.folder = folder
        self.log = folder / "output.log"
        self._env = None if env is None else dict(env)
        self._user = user
        self._last_signal = last_signal
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: Watchdog | None = None

    def __repr__(self) -> str:
        return f"<Daemon {Path(self.command[0]).name}: {f'pid {self.pid}' if self.alive else 'stopped'}>"

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServiceError(f"{self.command[0]} is not running")
        return self._process.pid

    def start(self) -> None:
        if self.alive:
            return
        self._reap()
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self._env,
                user=self._user,
                group=self._user and _group_of(self._user),
                extra_groups=None if self._user is None else [],
                start_new_session=True,  # Ctrl-C is for the tests; they stop their services in order
            )
        last = self._last_signal.name.removeprefix("SIG")
        self._watchdog = Watchdog(_END_PROCESS, last, str(self._process.pid), str(self.folder))

    def stop(self, polite: signal.Signals = signal.SIGTERM, *, within: float = 30) -> None:
        """Ask it to end; one that does not hear is killed."""
        if self._process is not None:
            self._process.send_signal(polite)
            self._process.send_signal(signal.SIGCONT)  # a paused process acts on nothing before this
            self._end(within)
        self._reap()

    def kill(self) -> None:
        """SIGKILL: the process gets no word in."""
        if self._process is not None:
            self._process.kill()
        self._reap()

    def signal(self, number: signal.Signals) -> None:
        if not self.alive:
            raise ServiceError(f"{self!r} cannot be sent {number.name}")
        assert self._process is not None
        self._process.send_signal(number)

    def tail(self, lines: int = 40) -> str:
        """The last lines it printed."""
        if not self.log.exists():
            return "(it printed nothing)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _end(self, within: float) -> None:
        assert self._process is not None
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _reap(self) -> None:
        """The process is over or will be at once; the watchdog goes before the pid can mean somebody else."""
        if self._watchdog is not None:
            self._watchdog.dismiss()
            self._watchdog = None
        if self._process is not None:
            self._process.wait(30)
            self._process = None


def _group_of(user: str) -> int:
    return pwd.getpwnam(user).pw_gid
