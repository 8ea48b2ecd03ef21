"""Filters of this panel's templates."""

from __future__ import annotations

import datetime

from django import template
from django.utils.translation import gettext

from swanherd_dashboard.core import words

register = template.Library()


@register.filter
def later(seconds: int | None, age: int) -> str:
    """Return a duration that has grown since the look."""
    return words.duration(None if seconds is None else seconds + age)


@register.filter
def sooner(seconds: int | None, age: int) -> str:
    """Return what is left of a duration since the look."""
    return words.duration(None if seconds is None else seconds - age)


@register.filter
def seconds_word(seconds: int | None) -> str:
    """Return a duration in words."""
    return words.duration(seconds)


@register.filter
def bytes_word(count: int) -> str:
    """Return a number of bytes in words."""
    return words.size(count)


@register.filter
def status_word(status: str) -> str:
    """Return the word for a status."""
    word: str = gettext(words.status_word(status))
    return word


@register.filter
def tone(status: str) -> str:
    """Return the status's colour."""
    return words.tone(status)


@register.filter
def isotime(at: datetime.datetime | None) -> str:
    """Return a time as ISO 8601, which the page's script makes the reader's own."""
    return at.isoformat(timespec="seconds") if at else ""
