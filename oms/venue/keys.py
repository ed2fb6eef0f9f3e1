"""The API key: one private key file, opened with suspicion, held without leaks.

May not log, print or put into a message anything that was read from the file. Every mishap is one CredentialsError
that names the path, what is wrong with it and the command that helps.
"""

import base64
import os
import shlex
import stat
from typing import NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from oms.errors import CredentialsError

__all__ = ["Key", "load_key"]

MAX_FILE_BYTES = 64 * 1024  # an RSA-8192 key in PEM is 6.5 kB
MIN_RSA_BITS = 2048

PASSPHRASE_VARIABLE = "KALSHI_PRIVATE_KEY_PASSPHRASE"  # noqa: S105  the name of a variable, not its value

_DIGEST = hashes.SHA256()
# Kalshi: RSASSA-PSS, SHA-256, MGF1 with SHA-256, salt as long as the digest.
_PADDING = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size)


class Key:
    """A private key that signs and does nothing else: no pickle, no copy, no text form."""

    __slots__ = ("_private", "kind")

    def __init__(self, private: rsa.RSAPrivateKey | Ed25519PrivateKey) -> None:
        self._private = private
        self.kind = f"RSA-{private.key_size}" if isinstance(private, rsa.RSAPrivateKey) else "Ed25519"

    def sign(self, message: bytes) -> str:
        """The signature of `message` as standard Base64 with padding; RSA-PSS or plain Ed25519 by the kind of key."""
        if isinstance(self._private, rsa.RSAPrivateKey):
            signature = self._private.sign(message, _PADDING, _DIGEST)
        else:
            signature = self._private.sign(message)
        return base64.b64encode(signature).decode("ascii")

    def check(self) -> None:
        """Prove that the key signs what its own public half verifies (30 ms for RSA, so only when asked).

        Loading skips the mathematical check of an RSA key, which costs as much as a hundred orders; a damaged one
        shows here. Raises CredentialsError.
        """
        message = b"oms key check"
        try:
            signature = base64.b64decode(self.sign(message))
            if isinstance(self._private, rsa.RSAPrivateKey):
                public = self._private.public_key()
                public.verify(signature, message, _PADDING, _DIGEST)
                self._private.private_numbers().private_key()  # checks that p, q, d and n belong together
            else:
                self._private.public_key().verify(signature, message)
        except Exception:
            damaged = True
        else:
            damaged = False
        if damaged:
            raise CredentialsError(
                f"the private key ({self.kind}) does not verify its own signature: the file is damaged",
                hint="download the key again or create a new one in your Kalshi account",
            )

    def __repr__(self) -> str:
        return f"Key({self.kind}, masked)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a private key is never pickled or copied")


def load_key(path: str, passphrase: str | None = None) -> Key:
    """Open, check and load the private key file at `path` (PEM; RSA of 2048 bits or more, or Ed25519).

    The file must be regular, not a symbolic link, owned by this user (or root) and closed to group and others: the
    checks are made on the opened descriptor, so that nothing can be swapped in between. Raises CredentialsError.
    """
    if "PRIVATE KEY" in path or "\n" in path or "\\n" in path:
        # A mishap of CI set-ups: the key itself where its path belongs. It must not get into a message or a log.
        raise CredentialsError(
            "private_key_path holds a key (not shown), not the path of a key file",
            hint="write the key to a file of mode 600, and give that file's path; then replace the key: it was exposed",
        )
    pem = _read_file(path)
    key = _parse(path, pem, passphrase)
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < MIN_RSA_BITS:
        raise CredentialsError(f"private key {path} is RSA with {key.key_size} bits; Kalshi needs {MIN_RSA_BITS}")
    return Key(key)


def _read_file(path: str) -> bytes:
    try:
        # O_NONBLOCK: opening a pipe must not wait for its writer.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as exc:
        problem = _why_not_opened(path, exc)
    else:
        try:
            _check_descriptor(path, os.fstat(fd))
            with os.fdopen(os.dup(fd), "rb") as file:
                return file.read(MAX_FILE_BYTES)
        except OSError as exc:
            problem = _why_not_opened(path, exc)
        finally:
            os.close(fd)
    raise problem


def _why_not_opened(path: str, exc: Exception) -> CredentialsError:
    if os.path.islink(path):
        return CredentialsError(
            f"private key {path} is a symbolic link, which could be turned to another file",
            hint=f"give the path of the file itself: {os.path.realpath(path)}",
        )
    if isinstance(exc, FileNotFoundError):
        return CredentialsError(
            f"there is no private key at {path}",
            hint="set private_key_path in the configuration, or KALSHI_PRIVATE_KEY_PATH",
        )
    why = exc.strerror if isinstance(exc, OSError) and exc.strerror else "not a usable path"
    return CredentialsError(f"private key {path} cannot be opened: {why}")


def _check_descriptor(path: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        what = "a directory" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise CredentialsError(f"private key {path} is {what}", hint="give the path of the key file")
    if found.st_uid not in (os.geteuid(), 0):
        raise CredentialsError(
            f"private key {path} belongs to user {found.st_uid}, not to you ({os.geteuid()})",
            hint=f"copy it to a file of your own with mode 600, or: sudo chown {os.geteuid()} {shlex.quote(path)}",
        )
    if found.st_mode & 0o077:
        raise CredentialsError(
            f"private key {path} can be used by others (mode {found.st_mode & 0o777:04o})",
            hint=f"chmod 600 {shlex.quote(path)}",
        )
    if found.st_size == 0:
        raise CredentialsError(f"private key {path} is empty", hint="download the key again")
    if found.st_size >= MAX_FILE_BYTES:
        raise CredentialsError(f"private key {path} is {found.st_size} bytes: too large to be a key")


def _parse(path: str, pem: bytes, passphrase: str | None) -> rsa.RSAPrivateKey | Ed25519PrivateKey:
    secret = passphrase.encode() if passphrase else None
    try:
        loaded: object = load_pem_private_key(pem, secret, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        problem = _why_not_parsed(path, pem, passphrase, exc)
    else:
        if isinstance(loaded, rsa.RSAPrivateKey | Ed25519PrivateKey):
            return loaded
        named = (
            "an elliptic-curve key" if isinstance(loaded, ec.EllipticCurvePrivateKey) else "of a kind not used there"
        )
        problem = CredentialsError(f"private key {path} is {named}; Kalshi takes RSA or Ed25519")
    raise problem


def _why_not_parsed(path: str, pem: bytes, passphrase: str | None, exc: Exception) -> CredentialsError:
    """What is wrong, judged by the armor lines only: the library's text may hold bytes of the file."""
    encrypted = b"ENCRYPTED" in pem
    if encrypted and not passphrase:
        return CredentialsError(
            f"private key {path} is encrypted and no passphrase was given",
            hint=f"put the passphrase into the environment variable {PASSPHRASE_VARIABLE}",
        )
    if encrypted and isinstance(exc, ValueError):
        return CredentialsError(
            f"the passphrase does not open private key {path}",
            hint=f"check the environment variable {PASSPHRASE_VARIABLE}",
        )
    if passphrase and isinstance(exc, TypeError):
        return CredentialsError(
            f"private key {path} is not encrypted, yet a passphrase was given",
            hint=f"unset the environment variable {PASSPHRASE_VARIABLE}",
        )
    if b"PUBLIC KEY-----" in pem:
        return CredentialsError(
            f"{path} holds a public key, not the private one",
            hint="give the file that Kalshi offered for download once, when the key was made",
        )
    if b"-----BEGIN OPENSSH PRIVATE KEY-----" in pem:
        return CredentialsError(f"private key {path} is in OpenSSH's form, not in PEM (PKCS#1 or PKCS#8)")
    if b"PRIVATE KEY-----" not in pem:
        return CredentialsError(f"{path} is not a private key in PEM form", hint="give the .pem or .key file")
    return CredentialsError(f"private key {path} is damaged and cannot be read", hint="download the key again")
