"""Secrets: planted everywhere they may be given, and sought in everything that a gate shows under every failure."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.gates.process import GateProcess, headgate
from tests.gates.web import PATIENCE
from tests.services.daemon import free_port, wait_until

SECRETS = {
    "API_KEYS": "planted-api-key-1",
    "TICKETS": "planted-ticket-secret-2",
    "PEER_KEY": "planted-peer-key-3",
    "PEER_PASSWORD": "planted-peer-password-4",
    "DATABASE_PASSWORD": "planted-database-password-5",
    "KAFKA_PASSWORD": "planted-kafka-password-6",
    "IPC": "planted-ipc-secret-7",
}
WRONG = {"header": "planted-wrong-key-8", "bearer": "planted.wrong.bearer-9", "query": "planted-ticket-10"}
BODY, IDEMPOTENCY = "planted-in-a-body-11", "planted-in-a-path-12"
CONFIG = """
service:
  log: {{level: debug, format: json}}
  audit: audit
  auth: {{keys: "${{API_KEYS}}", ticket_secret: "${{TICKETS}}"}}
streams:
  notes: {{codec: json}}
  audit: {{}}
  away: {{transport: http, url: "http://user:${{PEER_PASSWORD}}@127.0.0.1:{port}/streams/x/messages?key=${{PEER_KEY}}"}}
  broker: {{transport: kafka}}
connections:
  http: {{headers: {{X-API-Key: "${{PEER_KEY}}"}}}}
  kafka:
    bootstrap_servers: 127.0.0.1:{port}
    options:
      sasl.mechanism: PLAIN
      sasl.username: u
      sasl.password: ${{KAFKA_PASSWORD}}
      security.protocol: SASL_PLAINTEXT
  database: {{url: "postgresql://u:${{DATABASE_PASSWORD}}@127.0.0.1:{port}/x"}}
runtime:
  platform: {{execution_ipc: {{auth: {{secret_mode: static, secret: "${{IPC}}"}}}}}}
  web:
    interfaces:
      - {{kind: command, path: /api/v1/commands, stream: notes}}
      - {{kind: sse, path: /follow, stream: notes}}
"""


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[GateProcess]:
    (tmp_path / "headgate.yaml").write_text(CONFIG.format(port=free_port()))
    process = GateProcess(tmp_path / "headgate.yaml", environ=SECRETS)
    try:
        yield process.start()
    finally:
        process.close()


def shown(gate: GateProcess) -> Iterator[tuple[str, str]]:
    """All that a gate answers to those with and without a key, whatever goes wrong."""
    command = {"device_id": "d", "command_type": "t", "payload": {"x": BODY}, "protocol": "mqtt", "request_id": "r1"}
    with httpx2.Client(base_url=gate.url, trust_env=False, timeout=PATIENCE) as client:
        keys = [
            {},
            {"X-API-Key": WRONG["header"]},
            {"Authorization": f"Bearer {WRONG['bearer']}"},
            {"X-API-Key": SECRETS["API_KEYS"]},
        ]
        paths = ["/health", "/ready", "/info", "/metrics", "/streams", "/openapi.json", "/docs", "/nothing"]
        paths += ["/streams/away/messages", "/streams/broker/messages", f"/follow?access_token={WRONG['query']}&x=1"]
        for headers in keys:
            for path in paths:
                answer = client.get(path, headers=headers)
                yield f"{path} {answer.status_code}", f"{answer.headers!r} {answer.text}"
            sent = client.post("/api/v1/commands", json=command, headers={**headers, "Idempotency-Key": IDEMPOTENCY})
            yield f"command {sent.status_code}", f"{sent.headers!r} {sent.text}"
            broken = client.post("/streams/notes/messages", content=f'{{"{BODY}', headers=headers)
            yield f"broken {broken.status_code}", broken.text
        audit = client.get("/streams/audit/messages", headers=keys[-1])
        yield "audit", audit.text


def test_no_secret_is_in_anything_that_a_gate_shows(gate: GateProcess, tmp_path: Path) -> None:
    answers = dict(shown(gate))
    assert any(" 401" in name for name in answers)
    assert len(json.loads(answers["audit"])) > 5
    gate.signal(signal.SIGHUP)
    assert wait_until(lambda: '"event":"reloaded"' in gate.log(), within=PATIENCE)
    (tmp_path / "headgate.yaml").write_text(CONFIG.format(port=1) + "oops: ${API_KEYS}\n")
    gate.signal(signal.SIGHUP)
    assert wait_until(lambda: "not reloaded" in gate.log(), within=PATIENCE)
    seen = {
        **answers,
        "log": gate.log(),
        "arguments": Path(f"/proc/{gate.process.pid}/cmdline").read_text(),
    }
    for children in Path(f"/proc/{gate.process.pid}/task").glob("*/children"):
        for child in children.read_text().split():
            seen[f"arguments of {child}"] = Path(f"/proc/{child}/cmdline").read_text()
    secrets = {*SECRETS.values(), *WRONG.values(), BODY, IDEMPOTENCY}
    found = [(secret, where) for secret in secrets for where, text in seen.items() if secret in text]
    assert found == []


def test_no_secret_is_in_what_commands_say_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "headgate.yaml"
    file.write_text(CONFIG.format(port=free_port()))
    good = [headgate("check", str(file), *more, environ=SECRETS) for more in ([], ["--json"])]
    assert [done.returncode for done in good] == [0, 0]
    file.write_text(CONFIG.format(port=free_port()).replace("level: debug", 'level: "${API_KEYS}"') + "oops: 1\n")
    bad = [headgate(*command, str(file), environ=SECRETS) for command in (["check"], ["run"], ["check", "--json"])]
    assert [done.returncode for done in bad] == [2, 2, 2]
    for done in [*good, *bad]:
        assert not [secret for secret in SECRETS.values() if secret.encode() in done.stdout + done.stderr]
