from pathlib import Path

import pytest

from tests.services import kafka_jars
from tests.services.daemon import Unavailable
from tests.services.kafka_jars import KAFKA, cache, jars, java
from tests.services.script import script


def test_the_cache_is_where_the_user_wants_it() -> None:
    assert cache({"XDG_CACHE_HOME": "/c", "HOME": "/h"}) == Path(f"/c/headgate/kafka-{KAFKA}/libs")
    assert cache({"HOME": "/h"}) == Path(f"/h/.cache/headgate/kafka-{KAFKA}/libs")


@pytest.mark.parametrize(
    ("said", "good"),
    [("17.0.15", True), ("21", True), ("25-ea", True), ("11.0.2", False), ("1.8.0_392", False)],
)
def test_java_must_be_new_enough(tmp_path: Path, said: str, good: bool) -> None:
    program = script(tmp_path, "java", f"""echo 'openjdk version "{said}"' >&2""")
    if good:
        assert java({"PATH": str(tmp_path)}) == str(program)
    else:
        with pytest.raises(Unavailable, match="too old"):
            java({"PATH": str(tmp_path)})


def test_java_home_wins_over_the_path(tmp_path: Path) -> None:
    script(tmp_path, "java", """echo 'openjdk version "21"' >&2""")
    with pytest.raises(Unavailable, match="no Java"):
        java({"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path / "elsewhere")})


def test_jars_are_fetched_once(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    script(tmp_path / "bin", "mvn", f"echo again >> {calls}; /bin/mkdir libs; /usr/bin/touch libs/kafka.jar")
    environ = {"XDG_CACHE_HOME": str(tmp_path), "PATH": f"{tmp_path}/bin"}
    assert (jars(environ) / "kafka.jar").exists()
    assert jars(environ) == cache(environ)
    assert calls.read_text() == "again\n"


def test_a_fetch_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    script(tmp_path / "bin", "mvn", "/bin/mkdir libs; echo no way there; exit 1")
    environ = {"XDG_CACHE_HOME": str(tmp_path), "PATH": f"{tmp_path}/bin"}
    with pytest.raises(Unavailable, match="no way there"):
        jars(environ)
    assert list(cache(environ).parent.iterdir()) == []


def test_a_second_run_may_be_quicker(tmp_path: Path) -> None:
    for name in ("fetched", "libs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kafka.jar").write_text(name)
    kafka_jars._settle(tmp_path / "fetched", tmp_path / "libs")
    assert (tmp_path / "libs" / "kafka.jar").read_text() == "libs"


def test_without_maven_nothing_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no Maven"):
        jars({"XDG_CACHE_HOME": str(tmp_path), "PATH": str(tmp_path)})
