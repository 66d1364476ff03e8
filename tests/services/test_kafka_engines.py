import signal
from pathlib import Path

import pytest

from tests.services import kafka_engines
from tests.services.daemon import Unavailable, Uncontrollable
from tests.services.kafka_engines import Docker, Foreign, Mock, cluster_id
from tests.services.script import script


def test_a_cluster_id_is_never_taken_for_an_option() -> None:
    ids = [cluster_id() for _ in range(500)]
    assert {len(i) for i in ids} == {22}
    assert not any(i.startswith("-") for i in ids)


def test_an_installed_kafka_is_formatted_and_run_by_its_own_scripts(tmp_path: Path) -> None:
    bin_ = tmp_path / "kafka" / "bin"
    bin_.parent.mkdir()
    script(bin_, "java", """echo 'openjdk version "21"' >&2""")
    script(bin_, "kafka-storage.sh", 'for last; do :; done; echo "$@" > "${0%/*}/formatted"')
    script(bin_, "kafka-server-start.sh", 'echo "serving $1"; exec sleep 60')
    engine = kafka_engines.kafka_home({"PATH": f"{bin_}:/bin:/usr/bin"}, {"num.partitions": "7"})
    try:
        engine.start()
        assert "--ignore-formatted" in (bin_ / "formatted").read_text()
        assert "num.partitions=7\n" in (engine.folder / "server.properties").read_text()
        assert engine.daemon.command == [
            str(bin_ / "kafka-server-start.sh"),
            f"{engine.folder}/server.properties",
        ]
    finally:
        engine.close()
    assert not engine.folder.exists()


def test_a_home_without_a_kafka_is_said() -> None:
    with pytest.raises(Unavailable, match=r"/nowhere has no bin/kafka-storage\.sh"):
        kafka_engines.kafka_home({"KAFKA_HOME": "/nowhere"}, {})


def test_docker_must_be_running(tmp_path: Path) -> None:
    script(tmp_path, "docker", "exit 1")
    with pytest.raises(Unavailable, match="not running"):
        kafka_engines.docker({"PATH": str(tmp_path)}, {})


def test_docker_must_have_the_image_or_get_it(tmp_path: Path) -> None:
    script(tmp_path, "docker", '[ "$1" = info ]')
    with pytest.raises(Unavailable, match="cannot get the image"):
        kafka_engines.docker({"PATH": str(tmp_path)}, {})


def test_a_container_goes_through_its_life(tmp_path: Path) -> None:
    said = tmp_path / "said"
    program = script(tmp_path, "docker", f'echo "$@" >> {said}')
    engine = Docker(str(program), {"message.max.bytes": "2000"})
    engine.start()
    engine.signal(signal.SIGSTOP)
    engine.signal(signal.SIGCONT)
    engine.stop(hard=True)
    engine.start()
    engine.stop()
    engine.close()
    run, *rest = said.read_text().splitlines()
    port = engine.bootstrap.rpartition(":")[2]
    assert run.startswith(f"run --detach --name {engine.name} --publish 127.0.0.1:{port}:{port} ")
    assert f"KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://127.0.0.1:{port} " in run
    assert "KAFKA_MESSAGE_MAX_BYTES=2000 " in run
    assert [line.split()[0] for line in rest] == ["pause", "unpause", "kill", "start", "stop", "rm"]


@pytest.mark.parametrize("engine", [Foreign("127.0.0.1:9"), Mock()])
def test_what_is_not_ours_is_not_stopped(engine: Foreign | Mock) -> None:
    with pytest.raises(Uncontrollable):
        engine.stop(hard=True)
    with pytest.raises(Uncontrollable):
        engine.signal(signal.SIGSTOP)
