"""The self-made TLS certificate: made once, kept beside the keys, pinned by every link through its SHA-256.

Touches: files, clock.
"""

import datetime
import hashlib
import ssl
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mesh.coordinator.keys import write_private

LIFE_DAYS = 20 * 365
"""Longer than any installation: who pins a certificate asks nobody else about it, renewal would break links."""


class Identity(NamedTuple):
    """The file with certificate and key, and the certificate's SHA-256 over its DER form."""

    path: Path
    sha256: str


def identity(folder: Path) -> Identity:
    """The certificate of this installation; made where there is none yet."""
    path = folder / "tls.pem"
    if not path.exists():
        write_private(path, _make())
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    der = certificate.public_bytes(serialization.Encoding.DER)
    return Identity(path, hashlib.sha256(der).hexdigest())


def server_context(path: Path) -> ssl.SSLContext:
    """TLS 1.3 only: every client of this protocol is younger than it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(path)
    return context


def _make() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())  # what every TLS library speaks; Ed25519 certificates are not
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mesh coordinator")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clients' clocks are a little off
        .not_valid_after(now + datetime.timedelta(days=LIFE_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("mesh-coordinator")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)
