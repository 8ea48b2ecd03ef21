"""An authority and its certificates, as files."""

import datetime
import ipaddress
import pathlib
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class Issued(NamedTuple):
    """The two files of a certificate."""

    certificate: pathlib.Path
    key: pathlib.Path


class Authority:
    """An authority in a directory; its key signs the tokens of accounts too."""

    def __init__(self, directory):
        self._directory = directory
        self._key = rsa.generate_private_key(65537, 2048)
        self._name = name("authority")
        self.path, self.key = directory / "authority.crt", directory / "authority.key"
        write_key(self.key, self._key)
        constraint = x509.BasicConstraints(ca=True, path_length=0)
        builder = self._builder(self._name, self._key).add_extension(constraint, critical=True)
        self._write(self.path, builder)

    def issue(self, common_name, *, organization="", names=(), addresses=()):
        """Return a certificate for a server at these names, or for a client of this group."""
        key = rsa.generate_private_key(65537, 2048)
        found = Issued(
            self._directory / f"{common_name}.crt", self._directory / f"{common_name}.key"
        )
        write_key(found.key, key)
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = self._builder(name(common_name, organization), key).add_extension(
            x509.ExtendedKeyUsage(usage), critical=False
        )
        others = [x509.DNSName(each) for each in names]
        others += [x509.IPAddress(ipaddress.ip_address(each)) for each in addresses]
        if others:
            builder = builder.add_extension(x509.SubjectAlternativeName(others), critical=False)
        self._write(found.certificate, builder)
        return found

    def _builder(self, subject, key):
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    def _write(self, path, builder):
        signed = builder.sign(self._key, hashes.SHA256())
        path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))


def name(common_name, organization=""):
    """Return a distinguished name."""
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)


def write_key(path, key):
    """Write a private key in the form that every program reads."""
    form = serialization.PrivateFormat.TraditionalOpenSSL
    plain = serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    path.chmod(0o600)
