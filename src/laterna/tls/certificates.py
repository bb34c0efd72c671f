"""A local certificate authority that can vouch for this server's names and for nothing else, ever.

Made at first start. The authority's certificate carries critical name constraints for the names served, and its
private key signs one server certificate and is then forgotten without having touched the disk: whoever trusts `ca.pem`
trusts no future certificate. Renewal, or another list of names, therefore means a new authority.

`laterna env` hands `bundle.pem` to Python clients, whose SSL_CERT_FILE replaces the public authorities, and `ca.pem` to
Node, whose NODE_EXTRA_CA_CERTS adds to them.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from laterna.clock import Clock, SystemClock
from laterna.errors import ConfigError
from laterna.private import private_folder, write_private

LOCAL_NAMES = ("localhost", "127.0.0.1")

VALID = timedelta(days=820)  # platforms refuse server certificates of more than 825 days
RENEW = timedelta(days=30)  # a certificate with less left is replaced
SKEW = timedelta(days=1)  # clients whose clock is behind

_NAME = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class CertificatePaths:
    """Where the certificates lie. Everything but the key may be read by all."""

    authority: Path  # our authority alone, PEM
    bundle: Path  # certifi's authorities and ours, PEM
    certificate: Path  # the server's, PEM
    key: Path  # the server's private key, PEM, mode 0600


def certificate_paths(folder: Path) -> CertificatePaths:
    """Where the certificates of a folder lie, or will."""
    return CertificatePaths(
        authority=folder / "ca.pem",
        bundle=folder / "bundle.pem",
        certificate=folder / "certificate.pem",
        key=folder / "key.pem",
    )


def ensure_certificates(folder: Path, names: tuple[str, ...], *, clock: Clock | None = None) -> CertificatePaths:
    """The certificates in `folder` for localhost and `names`, made anew where they do not serve any more.

    Those that serve further names, which this server had before, are kept: a new authority costs every client that
    trusts the old one.

    Args:
        folder: is made with mode 0700.
        names: host names or IP addresses. Raises ConfigError for wildcards and what is neither.
    """
    now = datetime.fromtimestamp((clock or SystemClock()).now_us() / 1e6, UTC)
    wanted = tuple(dict.fromkeys((*LOCAL_NAMES, *map(_checked, names))))
    private_folder(folder)
    paths = certificate_paths(folder)
    with _locked(folder):
        if not _serves(paths, wanted, now):
            _make(paths, wanted, now)
        bundle = Path(certifi.where()).read_bytes() + b"\n# Laterna\n" + paths.authority.read_bytes()
        if not paths.bundle.exists() or paths.bundle.read_bytes() != bundle:
            write_private(paths.bundle, bundle, 0o644)
    return paths


def joined(ours: Path, authority: Path, theirs: Path | None) -> Path:
    """A file with the certificates that a client trusted before and our authority.

    Args:
        ours: what it gets if it named none, or one that cannot be read.
        theirs: the file that it named.
    """
    if theirs is None or theirs == ours:
        return ours
    try:
        before, own = theirs.read_bytes(), authority.read_bytes()
    except OSError:
        return ours
    if own in before:
        return theirs
    path = theirs  # joined before, with an authority that is no more
    if theirs.parent != ours.parent:
        path = ours.with_name(f"{ours.stem}-{hashlib.sha256(bytes(theirs)).hexdigest()[:12]}.pem")
    with _locked(ours.parent):
        write_private(path, before.rstrip() + b"\n# Laterna\n" + own, 0o644)
    return path


def _checked(name: str) -> str:
    name = name.lower()
    try:
        return str(ip_address(name))
    except ValueError:
        if len(name) <= 253 and _NAME.fullmatch(name):
            return name
    raise ConfigError(f"names: {name!r} is neither a plain host name nor an IP address; wildcards are not certified")


def _make(paths: CertificatePaths, names: tuple[str, ...], now: datetime) -> None:
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key, names, now)
    server = _server(server_key, authority_key, authority, names, now)
    # The key first: a crash in between leaves files that do not belong together, and the next start makes them anew.
    secret = server_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(paths.key, secret, 0o600)
    write_private(paths.certificate, server.public_bytes(serialization.Encoding.PEM), 0o644)
    write_private(paths.authority, authority.public_bytes(serialization.Encoding.PEM), 0o644)


def _authority(key: ec.EllipticCurvePrivateKey, names: tuple[str, ...], now: datetime) -> x509.Certificate:
    # A name of its own sets a renewed authority apart where the old one is still trusted.
    name = f"Laterna local authority {secrets.token_hex(6)}"
    permitted = [_constraint(item) for item in _general(names)]
    return (
        _builder(key, name, now)
        .issuer_name(_subject(name))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .sign(key, hashes.SHA256())
    )


def _constraint(name: x509.DNSName | x509.IPAddress) -> x509.GeneralName:
    """RFC 5280, 4.2.1.10: a DNS constraint covers the name and those below it; an address is a network of one."""
    return name if isinstance(name, x509.DNSName) else x509.IPAddress(ip_network(str(name.value)))


def _server(
    key: ec.EllipticCurvePrivateKey,
    authority_key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    names: tuple[str, ...],
    now: datetime,
) -> x509.Certificate:
    return (
        _builder(key, "Laterna local server", now)
        .issuer_name(authority.subject)
        .add_extension(x509.SubjectAlternativeName(_general(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _builder(key: ec.EllipticCurvePrivateKey, subject: str, now: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now - SKEW + VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(**granted: bool) -> x509.KeyUsage:
    fields = "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign"
    every = f"{fields} crl_sign encipher_only decipher_only".split()
    return x509.KeyUsage(**{name: granted.get(name, False) for name in every})


def _general(names: tuple[str, ...]) -> list[x509.DNSName | x509.IPAddress]:
    found: list[x509.DNSName | x509.IPAddress] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _serves(paths: CertificatePaths, names: tuple[str, ...], now: datetime) -> bool:
    """True when the files belong together, are for all these names, and will last a while."""
    try:
        authority = x509.load_pem_x509_certificate(paths.authority.read_bytes())
        server = x509.load_pem_x509_certificate(paths.certificate.read_bytes())
        key = serialization.load_pem_private_key(paths.key.read_bytes(), None)
        server.verify_directly_issued_by(authority)
        listed = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    lasts = server.not_valid_before_utc <= now and now + RENEW < server.not_valid_after_utc
    secret = paths.key.stat().st_mode & 0o077 == 0
    return lasts and secret and key.public_key() == server.public_key() and set(listed) >= set(_general(names))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time: a server and a command may start together."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
