"""The key that outputs are signed with, and the certificates that show whose it is.

Made at first start, in a folder of its own. A local authority vouches for one signer and its private key is forgotten
without having touched the disk: whoever trusts `authority.pem` trusts what this server signs and nothing else, ever.
Neither certificate ends: a signature carries no time that others vouch for, so files would turn invalid with it. To
replace the key, delete the folder and restart.

Sources: C2PA specification 2.2, 14.5.1 (certificate profile); RFC 5280, 4.1.2.5 (certificates without an end).
"""

from __future__ import annotations

import fcntl
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from laterna.errors import ConfigError
from laterna.private import private_folder, write_private

AUTHORITY, CERTIFICATE, KEY = "authority.pem", "certificate.pem", "key.pem"
SKEW = timedelta(days=1)  # readers whose clock is behind
NO_END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Signatory:
    """Who signs."""

    certificate: bytes  # the signer's, PEM
    key: bytes  # its private key, PEM

    @classmethod
    def open(cls, folder: Path) -> Signatory:
        """The folder's; made where there is none. The server and its workers may open it at once.

        Raises ConfigError for files that do not belong together.
        """
        private_folder(folder)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / AUTHORITY).exists():
                _make(folder)
        return _read(folder)


def authority(folder: Path) -> str | None:
    """The authority's certificate, PEM; None where no server has signed anything yet."""
    try:
        return (folder / AUTHORITY).read_text()
    except FileNotFoundError:
        return None


def _read(folder: Path) -> Signatory:
    try:
        found = Signatory(certificate=(folder / CERTIFICATE).read_bytes(), key=(folder / KEY).read_bytes())
        own = x509.load_pem_x509_certificate(found.certificate)
        own.verify_directly_issued_by(x509.load_pem_x509_certificate((folder / AUTHORITY).read_bytes()))
        fits = serialization.load_pem_private_key(found.key, None).public_key() == own.public_key()
    except (OSError, ValueError, TypeError, InvalidSignature) as error:
        raise ConfigError(f"{folder} cannot be read: {error!r}; restore it, or delete it and restart") from error
    if not fits:
        raise ConfigError(f"{folder}: {KEY} is not the key of {CERTIFICATE}; restore it, or delete it and restart")
    return found


def _make(folder: Path) -> None:
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = _name(f"Laterna outputs authority {secrets.token_hex(6)}")
    root, own = _authority(authority_key, issuer), _signer(key, authority_key, issuer)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(folder / KEY, secret)
    write_private(folder / CERTIFICATE, own.public_bytes(serialization.Encoding.PEM), 0o644)
    # Last, because its being there says that all is: after a crash in between, the next start makes them anew.
    write_private(folder / AUTHORITY, root.public_bytes(serialization.Encoding.PEM), 0o644)


def _authority(key: ec.EllipticCurvePrivateKey, name: x509.Name) -> x509.Certificate:
    return (
        _builder(key, name, name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _signer(
    key: ec.EllipticCurvePrivateKey, authority_key: ec.EllipticCurvePrivateKey, issuer: x509.Name
) -> x509.Certificate:
    return (
        _builder(key, _name("Laterna outputs"), issuer)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _builder(key: ec.EllipticCurvePrivateKey, subject: x509.Name, issuer: x509.Name) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - SKEW)
        .not_valid_after(NO_END)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common: str) -> x509.Name:
    """Readers show the organisation."""
    kinds = {NameOID.ORGANIZATION_NAME: "Laterna", NameOID.COMMON_NAME: common}
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in kinds.items()])


def _usage(**granted: bool) -> x509.KeyUsage:
    fields = "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign"
    every = f"{fields} crl_sign encipher_only decipher_only".split()
    return x509.KeyUsage(**{name: granted.get(name, False) for name in every})
