"""Who is asking: API keys, and the signature over timestamp + METHOD + path, checked for real.

RSA keys sign by RSASSA-PSS with SHA-256 and a salt as long as the digest, Ed25519 keys plainly. The path
includes /trade-api/v2 and leaves out the query; the body is not signed. The 401 bodies are Kalshi's, recorded.
"""

import base64
import binascii
import hashlib
import uuid

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from oms.sandbox.refusals import Refusal, refuse
from oms.sandbox.wire import Request

EVERYTHING = ("read", "write")

_PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
_SHA256 = hashes.SHA256()

PublicKey = rsa.RSAPublicKey | ed25519.Ed25519PublicKey


class Key(msgspec.Struct, frozen=True):
    """An API key: whose it is, what it may do, and the subaccount it is locked to (None: all)."""

    key_id: str
    user_id: str
    public_pem: str
    public: PublicKey
    scopes: tuple[str, ...]
    subaccount: int | None

    def may(self, scope: str) -> bool:
        """Does the key have a scope, or one that includes it (write includes write::trade)?"""
        return any(scope == held or scope.startswith(f"{held}::") for held in self.scopes)


def load_key(key_id: str, user_id: str, public_pem: str, scopes: tuple[str, ...], subaccount: int | None) -> Key:
    """Build a key from its public PEM; raises ValueError for anything but RSA and Ed25519."""
    public = serialization.load_pem_public_key(public_pem.encode())
    if not isinstance(public, rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        raise ValueError("an API key is RSA or Ed25519")
    return Key(key_id, user_id, public_pem, public, scopes, subaccount)


def new_private_pem(algorithm: str = "rsa") -> bytes:
    """A fresh private key (RSA-2048 or ed25519) as unencrypted PKCS#8 PEM."""
    private: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
    if algorithm == "ed25519":
        private = ed25519.Ed25519PrivateKey.generate()
    else:
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def key_of_private(
    private_pem: bytes, user_id: str, scopes: tuple[str, ...] = EVERYTHING, subaccount: int | None = None
) -> Key:
    """The API key of a private PEM. Its id is a UUID made from the public key, so it never changes."""
    private = serialization.load_pem_private_key(private_pem, password=None)
    public_pem = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    key_id = str(uuid.UUID(bytes=hashlib.sha256(public_pem).digest()[:16], version=4))
    return load_key(key_id, user_id, public_pem.decode(), scopes, subaccount)


def _unauthorized(details: str) -> Refusal:
    return refuse(401, "authentication_error", "authentication_error", details)


def expired() -> Refusal:
    """401 for a timestamp too far from the exchange's clock."""
    return refuse(401, "header_timestamp_expired")


def signed_ms(request: Request) -> int | None:
    """The timestamp a request was signed with, None when there is none."""
    text = request.headers.get("kalshi-access-timestamp", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def authenticate(request: Request, keys: dict[str, Key], now_us: int, skew_ms: int) -> Key:
    """Find the key that signed a request; raises the 401 that the exchange would answer."""
    signature = request.headers.get("kalshi-access-signature")
    if not signature:
        raise refuse(401, "signature_is_missing_from_headers")
    key = keys.get(request.headers.get("kalshi-access-key", ""))
    if key is None:
        raise _unauthorized("NOT_FOUND")
    at_ms = signed_ms(request)
    if at_ms is None or abs(now_us - at_ms * 1000) > skew_ms * 1000:
        raise expired()
    try:
        _verify(key.public, base64.b64decode(signature, validate=True), _signed_text(request))
    except (InvalidSignature, binascii.Error, ValueError) as exc:
        raise _unauthorized("INCORRECT_API_KEY_SIGNATURE") from exc
    return key


def _signed_text(request: Request) -> str:
    return f"{request.headers['kalshi-access-timestamp']}{request.method}{request.path}"


def _verify(public: PublicKey, signature: bytes, text: str) -> None:
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, text.encode(), _PSS, _SHA256)
    else:
        public.verify(signature, text.encode())
