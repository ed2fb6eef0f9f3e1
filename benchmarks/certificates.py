"""A throw-away certificate authority, so that TLS on loopback is verified for real, by both rivals with the same trust.

What they trust is the bundle that `requests` brings (117 authorities, as every user has) with this one behind them: how
large that file is decides what a new connection costs.
"""

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from requests.utils import DEFAULT_CA_BUNDLE_PATH

_DAY = datetime.timedelta(days=1)


def make(directory: Path) -> tuple[Path, Path]:
    """(certificate and key of a server at 127.0.0.1, bundle of authorities to trust), both PEM files in `directory`."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "benchmark authority")])
    ca = (
        _builder(authority, authority)
        .public_key(authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    leaf = (
        _builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")]), authority)
        .public_key(key.public_key())
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    server, bundle = directory / "server.pem", directory / "authorities.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    server.write_bytes(secret + leaf.public_bytes(Encoding.PEM))
    bundle.write_bytes(Path(DEFAULT_CA_BUNDLE_PATH).read_bytes() + b"\n" + ca.public_bytes(Encoding.PEM))
    return server, bundle


def trust(bundle: Path) -> ssl.SSLContext:
    """A context that verifies against that bundle, as oms makes its own against the bundle of `requests`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(bundle)
    return context


def _builder(subject: x509.Name, issuer: x509.Name) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
    )
