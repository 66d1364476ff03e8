"""Apache Kafka's server as Maven artifacts, kept in the user's cache."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.services.daemon import Unavailable

KAFKA = "4.1.1"
# The broker brings slf4j-api, and nothing that prints. This must be the version of the slf4j-api it brings.
SLF4J = "1.7.36"
JAVA = 17

_POM = f"""\
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>headgate.tests</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>{SLF4J}</version>
    </dependency>
  </dependencies>
</project>
"""


def cache(environ: Mapping[str, str]) -> Path:
    """Where the jars are, or will be."""
    base = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "~"), ".cache").expanduser()
    return Path(base) / "headgate" / f"kafka-{KAFKA}" / "libs"


def java(environ: Mapping[str, str]) -> str:
    """The path of a Java that is new enough."""
    home = environ.get("JAVA_HOME")
    found = f"{home}/bin/java" if home else shutil.which("java", path=environ.get("PATH", ""))
    if found is None or not Path(found).exists():
        raise Unavailable(f"no Java (Kafka {KAFKA} needs {JAVA} or newer)")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < JAVA:
        raise Unavailable(f"Java is too old (Kafka {KAFKA} needs {JAVA} or newer)")
    return found


def jars(environ: Mapping[str, str]) -> Path:
    """The folder with the jars, fetched if need be. A fetch that breaks off leaves nothing behind."""
    libs = cache(environ)
    if libs.is_dir():
        return libs
    maven = shutil.which("mvn", path=environ.get("PATH", ""))
    if maven is None:
        raise Unavailable("no Maven to fetch the jars with")
    libs.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=libs.parent, prefix="fetch-") as folder:
        _fetch(maven, Path(folder), environ)
        _settle(Path(folder) / "libs", libs)
    return libs


def _fetch(maven: str, folder: Path, environ: Mapping[str, str]) -> None:
    (folder / "pom.xml").write_text(_POM)
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=libs"]
    done = subprocess.run(
        [maven, "-q", "-B", *goal], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        last = " ".join((done.stdout + done.stderr).split())[-400:]
        raise Unavailable(f"Maven could not fetch the jars: {last}")


def _settle(fetched: Path, libs: Path) -> None:
    try:
        os.rename(fetched, libs)  # noqa: PTH104 - pathlib's own says nothing about a folder that is there
    except OSError:
        if not libs.is_dir():  # not a second run that was quicker
            raise
