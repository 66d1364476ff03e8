"""Clients of others: Node with the `eventsource` package, and a browser."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.services.daemon import Unavailable

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(__file__).parent / "node"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def node() -> tuple[str, str]:
    """Node and npm: the machine's, if new enough, or those that `make services` got from PyPI."""
    own = ROOT / ".make" / "node" / "bin"
    for folder in (None, str(own)):
        found = shutil.which("node", path=folder)
        npm = shutil.which("npm", path=folder)
        if found and npm and _major(found) >= 20:
            return found, npm
    raise Unavailable("no Node 20 (`make services` gets one)")


def _major(program: str) -> int:
    text = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    return int(text.removeprefix("v").partition(".")[0])


def node_scripts() -> Path:
    """A folder with our scripts and what they import, as the lock file says."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headgate" / "node-clients"
    lock = (SCRIPTS / "package-lock.json").read_bytes()
    done = cache / "installed.json"
    if not done.exists() or done.read_bytes() != lock:
        cache.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SCRIPTS / name, cache)
        program, npm = node()
        environ = {**os.environ, "PATH": f"{Path(program).parent}{os.pathsep}{os.environ['PATH']}"}
        subprocess.run([npm, "ci", "--no-audit", "--no-fund"], check=True, cwd=cache, env=environ, capture_output=True)
        done.write_bytes(lock)
    for script in SCRIPTS.glob("*.mjs"):
        shutil.copy(script, cache)
    return cache


def browser() -> str:
    """A browser that runs without a screen."""
    for name in _BROWSERS:
        if found := shutil.which(name):
            return found
    raise Unavailable("no Chromium (`make services` gets one)")
