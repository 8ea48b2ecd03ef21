"""How values are said to people: marked for translation, translated at the edge."""

from __future__ import annotations

from collections.abc import Mapping


def gettext_noop(text: str) -> str:
    """Mark a text for translation; it is looked up where it is shown."""
    return text


# status → word, and what colour and icon say the same
STATUSES: Mapping[str, tuple[str, str]] = {
    "ACTIVE": (gettext_noop("Active"), "up"),
    "DOWN": (gettext_noop("Down"), "down"),
    "ERROR": (gettext_noop("Error"), "error"),
    "PENDING_CREATE": (gettext_noop("Being set up"), "pending"),
    "PENDING_UPDATE": (gettext_noop("Being changed"), "pending"),
    "PENDING_DELETE": (gettext_noop("Being deleted"), "pending"),
}
# What swanherd_client says of how far a device's configuration is proven; others say themselves.
PROOFS = (
    gettext_noop("untested"),
    gettext_noop("booted unedited in tests"),
    gettext_noop("run unedited in tests"),
)
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def status_word(status: str) -> str:
    """Return the word for a status; an unknown one says itself."""
    return STATUSES.get(status, (status, ""))[0]


def tone(status: str) -> str:
    """Return up, down, error or pending; unknown for what isn't known."""
    return STATUSES.get(status, ("", "unknown"))[1]


def size(count: int) -> str:
    """Return a number of bytes as people read it: 999 B, 1.5 kB, 12 MB."""
    value, unit = float(count), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    digits = 1 if unit and value < 10 else 0
    return f"{value:.{digits}f} {_UNITS[unit]}"


def duration(seconds: int | None) -> str:
    """Return a duration in at most two units: 42 s, 5 min 2 s, 3 h 10 min, 2 d 4 h."""
    if seconds is None:
        return "–"
    seconds = max(0, seconds)
    for unit, length, smaller, part in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if seconds >= length:
            rest = seconds % length // part
            return f"{seconds // length} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds} s"
