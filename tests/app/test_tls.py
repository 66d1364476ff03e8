"""TLS: certificates that are shown, that are renewed without a restart, and that say who a client is."""

import asyncio
import datetime
import signal
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from headgate.errors import ConfigError
from headgate.spec.resolve import plan_text
from tests.gates.process import GateProcess, headgate
from tests.services.daemon import wait_until

DAY = datetime.timedelta(days=1)
CONFIG = """
service:
  tls: {certificate: gate.pem, key: gate.key, client_ca: ca.pem}
  auth: {keys: [alpha], certificates: {robot: "read:notes", press: "*"}}
streams: {notes: {codec: json}}
runtime: {web: {interfaces: [{kind: websocket, path: /talk, stream: notes}]}}
"""


@dataclass
class Authority:
    """Somebody who signs certificates."""

    folder: Path
    name: str = "ca"

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, self.name)])
        self.write(self.name, self._signed(self.subject, self.key, None), self.key)

    def issue(self, name: str, file: str = "") -> x509.Certificate:
        """A certificate for this name, in a file."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = self._signed(subject, key, x509.DNSName("localhost"))
        self.write(file or name, certificate, key)
        return certificate

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, other: x509.GeneralName | None
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(self.subject, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - DAY).not_valid_after(now + DAY)
        builder = builder.add_extension(x509.BasicConstraints(other is None, None), critical=True)
        if other is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([other]), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def write(self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        (self.folder / f"{name}.pem").write_bytes(certificate.public_bytes(pem))
        (self.folder / f"{name}.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    one = Authority(tmp_path)
    for name in ("gate", "robot", "press", "guest"):
        one.issue(name)
    return one


@pytest.fixture
def gate(authority: Authority) -> Iterator[GateProcess]:
    (authority.folder / "headgate.yaml").write_text(CONFIG)
    process = GateProcess(authority.folder / "headgate.yaml", trust=str(authority.folder / "ca.pem"))
    try:
        yield process.start()
    finally:
        process.close()


def client(authority: Authority, gate: GateProcess, name: str | None = None) -> httpx2.Client:
    context = ssl.create_default_context(cafile=str(authority.folder / "ca.pem"))
    if name is not None:
        context.load_cert_chain(authority.folder / f"{name}.pem", authority.folder / f"{name}.key")
    return httpx2.Client(base_url=f"https://localhost:{gate.port}", verify=context, trust_env=False, timeout=10)


def test_a_certificate_says_who_a_client_is(authority: Authority, gate: GateProcess) -> None:
    def statuses(name: str | None, headers: dict[str, str] | None = None) -> list[int]:
        with client(authority, gate, name) as http:
            paths = ("/streams/notes/messages", "/info")
            return [http.get(path, headers=headers).status_code for path in paths]

    assert statuses(None) == [401, 401]
    assert statuses("guest") == [401, 401]  # signed, and nobody here knows it
    assert statuses("robot") == [204, 403]
    assert statuses("press") == [204, 200]
    assert statuses(None, {"X-API-Key": "alpha"}) == [204, 200]
    assert statuses("press", {"X-API-Key": "wrong"}) == [401, 401]
    with client(authority, gate) as http:
        assert http.get("/health").headers["strict-transport-security"].startswith("max-age=")


def test_a_certificate_of_another_authority_is_refused(authority: Authority, gate: GateProcess) -> None:
    other = Authority(authority.folder, "impostor")
    other.issue("press", "false-press")
    with client(authority, gate, "false-press") as http, pytest.raises((httpx2.HTTPError, ssl.SSLError)):
        http.get("/info")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_versions_and_plain_text_are_not_spoken(authority: Authority, gate: GateProcess) -> None:
    context = ssl.create_default_context(cafile=str(authority.folder / "ca.pem"))
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT@SECLEVEL=0")

    async def connect() -> None:
        await asyncio.open_connection("localhost", gate.port, ssl=context, server_hostname="localhost")

    with pytest.raises((ssl.SSLError, ConnectionError)):
        asyncio.run(connect())
    with pytest.raises(httpx2.HTTPError):
        httpx2.get(f"http://127.0.0.1:{gate.port}/health", trust_env=False)


def test_a_new_certificate_is_shown_without_a_restart(authority: Authority, gate: GateProcess) -> None:
    def serial() -> int:
        context = ssl.create_default_context(cafile=str(authority.folder / "ca.pem"))

        async def shown() -> int:
            _, writer = await asyncio.open_connection("localhost", gate.port, ssl=context)
            found = writer.get_extra_info("peercert")["serialNumber"]
            writer.close()
            await writer.wait_closed()
            return int(found, 16)

        return asyncio.run(shown())

    with client(authority, gate, "press") as http:
        assert http.get("/info").status_code == 200
        new = authority.issue("gate")
        gate.signal(signal.SIGHUP)
        assert wait_until(lambda: serial() == new.serial_number, within=10)
        assert http.get("/info").status_code == 200  # on the connection that was there
        (authority.folder / "gate.pem").write_text("no certificate")
        gate.signal(signal.SIGHUP)
        assert wait_until(lambda: "cannot be used for TLS" in gate.log(), within=10)
        assert serial() == new.serial_number


def test_files_that_are_none_are_told_before_anything_starts(authority: Authority) -> None:
    for name, content in (("gate.pem", "no certificate"), ("gate.key", (authority.folder / "ca.key").read_text())):
        authority.issue("gate")
        (authority.folder / name).write_text(content)
        (authority.folder / "headgate.yaml").write_text(CONFIG)
        done = headgate("run", str(authority.folder / "headgate.yaml"), "--port", "0")
        assert done.returncode == 1
        assert "cannot be used for TLS" in done.stderr.decode()


def test_certificates_of_clients_need_somebody_who_signs_them() -> None:
    with pytest.raises(ConfigError, match="nothing says who signs them"):
        plan_text("service: {auth: {certificates: {robot: '*'}}}")
    with pytest.raises(ConfigError, match="scopes"):
        plan_text("service: {auth: {certificates: {robot: admin}}}")
