"""The PostgreSQL that tests run against: a cluster of our own, or the one that DATABASE_URL names."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg.sql import SQL, Identifier

from tests.services.daemon import Daemon, ServiceError, Unavailable, Uncontrollable, free_port, wait_until

_DEBIAN = Path("/usr/lib/postgresql")


def binaries(environ: Mapping[str, str], debian: Path = _DEBIAN) -> Path:
    """The folder of initdb and postgres: from the path, or the newest that Debian installed beside it."""
    if found := shutil.which("initdb", path=environ.get("PATH", "")):
        return Path(found).resolve().parent
    versions = [found.parent for found in debian.glob("*/bin/initdb")]
    if not versions:
        raise Unavailable("PostgreSQL is not installed (`make services` installs it)")
    return max(versions, key=lambda folder: int(folder.parent.name))


def unprivileged() -> str | None:
    """Whom the server runs as: it refuses to be root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


class PostgresCluster:
    """One PostgreSQL on loopback, fsync on. `start` after `stop` or `kill` has the same port and data."""

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        controllable: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        environ = os.environ if environ is None else environ
        self._own: _Own | None = None
        if not controllable and (given := environ.get("DATABASE_URL")):
            self.url = given
        else:
            self._own = _Own(binaries(environ), settings or {})
            self.url = self._own.url
        self.started_in: float | None = None

    def __repr__(self) -> str:
        return f"<PostgresCluster {self.describe()}>"

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def kind(self) -> str:
        return "external" if self._own is None else "cluster"

    @property
    def pid(self) -> int:
        """Of the server's first process."""
        return self._owned().daemon.pid

    @property
    def data(self) -> Path:
        """The folder of its data."""
        return self._owned().folder / "data"

    def start(self, *, within: float = 60) -> Self:
        """Start, or start again; returns when it answers."""
        began = time.monotonic()
        if self._own:
            self._own.start()
        if not wait_until(self._answers, within=within):
            raise ServiceError(f"PostgreSQL does not answer\n{self._last_words()}")
        self.started_in = time.monotonic() - began
        print(f"postgres: {self.describe()}", file=sys.stderr)
        return self

    def stop(self) -> None:
        """Shut down in order, breaking off what still runs."""
        self._owned().daemon.stop(signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL to the first process; the others see it and end. What was committed stays."""
        self._owned().daemon.kill()

    def restart(self) -> Self:
        """Stop, unless it is down already, and start on the same port and data."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """Stop and remove the data."""
        if self._own:
            self._own.close()

    def describe(self) -> str:
        who = "the server of DATABASE_URL" if self._own is None else f"PostgreSQL of {self._own.binaries}"
        took = "" if self.started_in is None else f", answering after {self.started_in:.1f} s"
        return f"{who} at {urlsplit(self.url).hostname}:{urlsplit(self.url).port or 5432}{took}"

    def create_database(self, name: str | None = None) -> str:
        """Make an empty database and return its address."""
        name = name or f"test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def _owned(self) -> "_Own":
        if self._own is None:
            raise Uncontrollable("the server of DATABASE_URL is not ours to stop")
        return self._own

    def _answers(self) -> bool:
        if self._own and not self._own.daemon.alive:
            self._start_again(self._own)
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _start_again(self, own: "_Own") -> None:
        # After a kill, the other processes take a moment to end. Until then the first does not start.
        if "pre-existing shared memory block" not in own.daemon.tail(5):
            raise ServiceError(f"PostgreSQL ended while it started\n{own.daemon.tail()}")
        own.daemon.start()

    def _last_words(self) -> str:
        return self._own.daemon.tail() if self._own else ""


class _Own:
    """The cluster's folder, its password and its processes."""

    def __init__(self, binaries: Path, settings: Mapping[str, str]) -> None:
        self.binaries = binaries
        self.folder = Path(tempfile.mkdtemp(prefix="headgate-postgres-"))
        self.user = unprivileged()
        if self.user:
            shutil.chown(self.folder, self.user)
        # A password even on loopback: without one, everybody on the machine could run programs as our user.
        self._password = secrets.token_hex(16)
        port = free_port()
        self.url = f"postgresql://postgres:{self._password}@127.0.0.1:{port}/postgres"
        listen = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": ""}
        command = [str(binaries / "postgres"), "-D", str(self.folder / "data")]
        for name, value in (listen | dict(settings)).items():
            command += ["-c", f"{name}={value}"]
        # SIGQUIT is PostgreSQL's own quick death: it leaves no shared memory behind, as SIGKILL would.
        self.daemon = Daemon(command, folder=self.folder, user=self.user, last_signal=signal.SIGQUIT)

    def start(self) -> None:
        if not (self.folder / "data").exists():
            self._initialise()
        self.daemon.start()

    def close(self) -> None:
        self.daemon.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _initialise(self) -> None:
        secret = self.folder / "password"
        secret.write_text(self._password)
        options = ["--no-locale", "--encoding=UTF8", "--username=postgres", f"--pwfile={secret}", "--no-sync"]
        options += ["--auth=scram-sha-256", "-D", str(self.folder / "data")]
        if self.user:
            shutil.chown(secret, self.user)
        done = subprocess.run(
            [str(self.binaries / "initdb"), *options],
            cwd=self.folder,
            user=self.user,
            group=self.user and pwd.getpwnam(self.user).pw_gid,
            extra_groups=[] if self.user else None,
            capture_output=True,
            text=True,
            check=False,
        )
        secret.unlink()
        if done.returncode != 0:
            raise ServiceError(f"initdb failed:\n{done.stdout}{done.stderr}")
