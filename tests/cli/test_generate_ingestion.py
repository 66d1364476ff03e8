"""`headgate generate-ingestion`."""

from pathlib import Path

from tests.gates.process import headgate
from tests.layouts import EXAMPLE


def test_it_writes_the_files_and_says_what_changes(tmp_path: Path) -> None:
    command = ["generate-ingestion", "--entities", str(EXAMPLE), "--output", "server", "--port", "8123"]
    done = headgate(*command, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"server: 10 written, 0 unchanged\n")
    names = {path.name for path in (tmp_path / "server").iterdir()}
    assert {"main.py", "config.py", "models.py", "parsers.py", "database.py", "requirements.txt"} <= names
    assert {"Dockerfile", "docker-compose.yml", ".env.example", "test_ingestion.sh"} <= names
    assert "8123" in (tmp_path / "server" / "config.py").read_text()
    (tmp_path / "server" / "config.py").write_text("mine\n")
    again = headgate(*command, "--database", "sqlite", cwd=tmp_path)
    assert again.returncode == 1
    assert b"changed by hand, so not written: config.py" in again.stderr
    assert b"--- database.py" in again.stdout
    assert headgate(*command, "--force", cwd=tmp_path).returncode == 0
    assert "mine" not in (tmp_path / "server" / "config.py").read_text()


def test_wrong_entities_and_options_are_told(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("entity: {nam: X}\n")
    for options in (["--entities", "bad.yaml"], ["--entities", "gone"], ["--entities", str(EXAMPLE), "--port", "0"]):
        done = headgate("generate-ingestion", *options, "--output", "server", cwd=tmp_path)
        assert done.returncode == 2
        assert b"Traceback" not in done.stderr
    assert not (tmp_path / "server").exists()
