"""TLS: the certificates that a service shows, and those that clients show it."""

import ssl
from pathlib import Path
from typing import Any

from headgate.errors import HeadgateError
from headgate.spec.plan import TlsPlan


def context_of(plan: TlsPlan) -> ssl.SSLContext:
    """What a server speaks TLS with. Raises a `HeadgateError` for files that are not what they should be."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, plan)
    if plan.client_ca is not None:
        try:
            context.load_verify_locations(cafile=plan.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise _wrong(plan.client_ca, error) from None
        context.verify_mode = ssl.CERT_OPTIONAL  # who shows none may have a key
    return context


def renew(context: ssl.SSLContext, plan: TlsPlan) -> None:
    """Show what the files hold now to whoever connects from now on. May raise a `HeadgateError`."""
    context_of(plan)
    _load(context, plan)


def names_of(transport: Any) -> tuple[str, ...]:
    """The names in the certificate of a client, which somebody that we know has signed; none without one."""
    shown = transport.get_extra_info("peercert") or {}
    subject = [value for part in shown.get("subject", ()) for kind, value in part if kind == "commonName"]
    others = [value for kind, value in shown.get("subjectAltName", ()) if kind in ("DNS", "URI", "email")]
    return tuple(dict.fromkeys([*subject, *others]))


def _load(context: ssl.SSLContext, plan: TlsPlan) -> None:
    try:
        context.load_cert_chain(plan.certificate, plan.key, password=_no_password)
    except (OSError, ssl.SSLError) as error:
        raise _wrong(plan.certificate, error) from None


def _no_password() -> str:
    raise OSError("the private key has a password; give one that has none")


def _wrong(file: Path, error: Exception) -> HeadgateError:
    return HeadgateError(f"{file} cannot be used for TLS: {getattr(error, 'strerror', None) or error}")
