"""Where a connection's key is: in neutron-vpnaas' column, or encrypted in a table of ours.

Without a configured key it is where neutron-vpnaas has it, as it is. With one the column holds a
placeholder, and the table what Fernet (AES-128-CBC and HMAC-SHA256) makes of it. The first of
several keys encrypts, each decrypts: so keys are rotated while the service runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from cryptography import fernet
from oslo_log import log as logging

from swanherd.server.db.models import SecretRow, SiteConnectionRow

LOG = logging.getLogger(__name__)

PLACEHOLDER = "encrypted by swanherd"


class Unreadable(Exception):
    """A key can't be decrypted; the message says what to do and quotes nothing."""


class Keyring:
    """The keys that encrypt what connections authenticate with; none: nothing is encrypted."""

    def __init__(self, keys: Sequence[str] = ()) -> None:
        try:
            ciphers = [fernet.Fernet(key.encode()) for key in keys]
        except (ValueError, UnicodeError):
            # The error of the library may quote the key.
            raise Unreadable("a key of [swanherd] psk_keys isn't 32 bytes in base64") from None
        self._cipher = fernet.MultiFernet(ciphers) if ciphers else None

    @property
    def encrypts(self) -> bool:
        """Whether there is a key."""
        return self._cipher is not None

    def read(self, row: SiteConnectionRow) -> str:
        """Return a connection's key."""
        return self.open(row.id, row.psk, _token(row))

    def show(self, row: SiteConnectionRow) -> str | None:
        """Return a connection's key, None if it can't be read (see `shown`)."""
        return self.shown(row.id, row.psk, _token(row))

    def open(self, connection_id: str, column: str, token: str | None) -> str:
        """Return a connection's key from neutron-vpnaas' column and what is encrypted, if any."""
        return column if token is None else self.decrypt(connection_id, token)

    def shown(self, connection_id: str, column: str, token: str | None) -> str | None:
        """Return a connection's key as `open` does; None if no key of ours decrypts it.

        One that isn't here yet, or any more, must hide no connection from who lists them all.
        """
        try:
            return self.open(connection_id, column, token)
        except Unreadable as error:
            LOG.warning("%s", error)
            return None

    def decrypt(self, connection_id: str, token: str) -> str:
        """Return what was encrypted; Unreadable if no key fits."""
        if self._cipher is not None:
            try:
                return self._cipher.decrypt(token.encode()).decode()
            except fernet.InvalidToken:
                pass
        raise Unreadable(f"no key of [swanherd] psk_keys decrypts the psk of {connection_id}")

    def write(self, session: Any, row: SiteConnectionRow, key: str) -> None:
        """Store a connection's key; the row itself must have been flushed before."""
        if self._cipher is None:
            row.psk = key
            session.execute(_of(row.id))
            return
        row.psk = PLACEHOLDER
        session.merge(SecretRow(id=row.id, token=self._cipher.encrypt(key.encode()).decode()))

    def column(self, key: str) -> str:
        """Return what neutron-vpnaas' column of a new row holds."""
        return PLACEHOLDER if self.encrypts else key

    def rewrite(self, session: Any, connection_ids: Iterable[str]) -> int:
        """Store keys anew, with the first key or, without any, as neutron-vpnaas does."""
        query = (
            sa.select(SiteConnectionRow)
            .where(SiteConnectionRow.id.in_(list(connection_ids)))
            .with_for_update()
        )
        rows = session.scalars(query).all()
        for row in rows:
            self.write(session, row, self.read(row))
        return len(rows)


def _token(row: SiteConnectionRow) -> str | None:
    return row.sealed.token if row.sealed is not None else None


def _of(connection_id: str) -> Any:
    statement = sa.delete(SecretRow).where(SecretRow.id == connection_id)
    return statement.execution_options(synchronize_session=False)


_current = Keyring()


def use(keyring: Keyring) -> None:
    """Make a keyring this process' own; the composition root calls it once."""
    global _current
    _current = keyring


def current() -> Keyring:
    """Return this process' keyring."""
    return _current
