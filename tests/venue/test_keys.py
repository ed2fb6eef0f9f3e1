"""The private key file: what is accepted, and the one clear sentence for everything else."""

import base64
import copy
import os
import pickle
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from oms.errors import CredentialsError
from oms.venue.keys import Key, load_key
from oms.venue.signing import signed_headers, signed_text


def write(path: Path, content: bytes, mode: int = 0o600) -> str:
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def refusal(path: str, passphrase: str | None = None) -> CredentialsError:
    with pytest.raises(CredentialsError) as caught:
        load_key(path, passphrase)
    assert path in caught.value.message
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None  # a chained library error could hold bytes of the file
    return caught.value


def verifies(public: rsa.RSAPublicKey, signature: str, message: bytes) -> None:
    scheme = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
    public.verify(base64.b64decode(signature, validate=True), message, scheme, hashes.SHA256())


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_rsa_key_signs_as_kalshi_verifies(
    tmp_path: Path, private: rsa.RSAPrivateKey, form: serialization.PrivateFormat
) -> None:
    key = load_key(write(tmp_path / "k", private.private_bytes(Encoding.PEM, form, NoEncryption())))
    verifies(private.public_key(), key.sign(b"text"), b"text")
    with pytest.raises(InvalidSignature):
        verifies(private.public_key(), key.sign(b"text"), b"other")
    key.check()


def test_an_ed25519_key_signs_plainly(tmp_path: Path) -> None:
    private = Ed25519PrivateKey.generate()
    key = load_key(write(tmp_path / "k", private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())))
    private.public_key().verify(base64.b64decode(key.sign(b"text")), b"text")
    assert key.kind == "Ed25519"
    key.check()


def test_the_headers_sign_time_method_and_path_without_the_query(key: Key, private: rsa.RSAPrivateKey) -> None:
    headers = signed_headers("id", key, 1781159362226, "get", "/trade-api/v2/portfolio/orders?limit=5")
    assert signed_text(1781159362226, "get", "/trade-api/v2/portfolio/orders?limit=5") == (
        "1781159362226GET/trade-api/v2/portfolio/orders"
    )
    assert headers["KALSHI-ACCESS-KEY"] == "id"
    assert headers["KALSHI-ACCESS-TIMESTAMP"] == "1781159362226"
    verifies(
        private.public_key(),
        headers["KALSHI-ACCESS-SIGNATURE"],
        b"1781159362226GET/trade-api/v2/portfolio/orders",
    )


@pytest.mark.fault(83)
def test_windows_line_ends_and_a_byte_more_are_fine(tmp_path: Path, pem: bytes) -> None:
    assert load_key(write(tmp_path / "k", pem.replace(b"\n", b"\r\n") + b"\n")).kind == "RSA-2048"


@pytest.mark.fault(83)
def test_an_encrypted_key_opens_with_its_passphrase_only(tmp_path: Path, private: rsa.RSAPrivateKey) -> None:
    sealed = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame"))
    path = write(tmp_path / "k", sealed)
    assert load_key(path, "open sesame").kind == "RSA-2048"
    assert "no passphrase" in refusal(path).message
    assert "KALSHI_PRIVATE_KEY_PASSPHRASE" in refusal(path).hint
    wrong = refusal(path, "open barley")
    assert "passphrase does not open" in wrong.message
    assert "barley" not in wrong.message + wrong.hint


def test_a_passphrase_for_a_plain_key_is_named(key_file: Path) -> None:
    assert "not encrypted" in refusal(str(key_file), "x").message


@pytest.mark.fault(83)
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o777])
def test_a_key_that_others_can_use_is_refused_with_the_chmod(tmp_path: Path, pem: bytes, mode: int) -> None:
    problem = refusal(write(tmp_path / "my key", pem, mode))
    assert f"{mode:04o}" in problem.message
    assert problem.hint == f"chmod 600 '{tmp_path}/my key'"


def test_files_that_are_no_key_files_are_named(tmp_path: Path, key_file: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "link").symlink_to(key_file)
    assert "no private key at" in refusal(str(tmp_path / "missing")).message
    assert "a directory" in refusal(str(tmp_path)).message
    assert "not a regular file" in refusal(str(tmp_path / "pipe")).message
    assert "symbolic link" in refusal(str(tmp_path / "link")).message
    assert str(key_file) in refusal(str(tmp_path / "link")).hint
    assert "empty" in refusal(write(tmp_path / "empty", b"")).message
    assert "too large" in refusal(write(tmp_path / "big", b"x" * 70_000)).message
    assert "cannot be opened" in refusal(str(tmp_path / "a\0b")).message


def test_a_key_of_someone_else_is_refused(tmp_path: Path, pem: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "k", pem)
    mine = os.stat(path).st_uid
    if mine == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    assert "belongs to user" in refusal(path).message


@pytest.mark.fault(83)
def test_keys_of_the_wrong_kind_are_named_and_never_shown(
    tmp_path: Path, private: rsa.RSAPrivateKey, pem: bytes
) -> None:
    public = private.public_key().public_bytes(Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    curve = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    small = rsa.generate_private_key(65537, 1024).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    ssh = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    cut = pem[:400] + b"\n-----END PRIVATE KEY-----\n"
    assert "public key" in refusal(write(tmp_path / "public", public)).message
    assert "elliptic-curve" in refusal(write(tmp_path / "curve", curve)).message
    assert "1024 bits" in refusal(write(tmp_path / "small", small)).message
    assert "damaged" in refusal(write(tmp_path / "cut", cut)).message
    assert "not a private key" in refusal(write(tmp_path / "text", b"KALSHI=secret-text")).message
    assert "secret-text" not in str(refusal(str(tmp_path / "text")))
    assert "OpenSSH" in refusal(write(tmp_path / "ssh", ssh)).message


def test_a_damaged_rsa_key_loads_and_fails_its_check(tmp_path: Path, private: rsa.RSAPrivateKey) -> None:
    numbers = private.private_numbers()
    broken = rsa.RSAPrivateNumbers(
        numbers.p, numbers.q, numbers.d, numbers.dmp1 ^ 2, numbers.dmq1, numbers.iqmp, numbers.public_numbers
    ).private_key(unsafe_skip_rsa_key_validation=True)
    with pytest.raises(CredentialsError, match="does not verify"):
        Key(broken).check()


def test_a_key_is_neither_copied_nor_shown(key: Key, pem: bytes) -> None:
    assert repr(key) == str(key) == "Key(RSA-2048, masked)"
    with pytest.raises(TypeError):
        pickle.dumps(key)
    with pytest.raises(TypeError):
        copy.deepcopy(key)


def test_a_key_pasted_where_its_path_belongs_is_never_shown(tmp_path: Path) -> None:
    pem = "-----BEGIN PRIVATE KEY-----MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v-----END PRIVATE KEY-----"
    for pasted in (pem, pem.replace("-----M", "-----\nM")):
        with pytest.raises(CredentialsError) as caught:
            load_key(pasted)
        assert "MC4CAQ" not in caught.value.message + caught.value.hint
