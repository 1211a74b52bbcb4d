"""What Django keeps by thread beside connections: language, time zone, urlconf, script prefix."""

from __future__ import annotations

__all__ = ("Ambience",)

from dataclasses import dataclass
from typing import Any

from django.urls import (
    get_script_prefix,
    get_urlconf,
    set_script_prefix,
    set_urlconf,
)
from django.utils import timezone, translation


@dataclass(frozen=True, slots=True)
class Ambience:
    """That of one thread, to be set up on another one.

    Some versions of asgiref carry it there with the `contextvars` context, and some do not: so it
    is set in any case, within that context, and ends with it.

    Attributes:
        language: the active language; None where translations are switched off.
        zone: the current time zone.
        urlconf: the module of the request's URLs, or None for that of the settings.
        prefix: what precedes all URLs of the site.
    """

    language: str | None
    zone: Any
    urlconf: Any
    prefix: str

    @staticmethod
    def here() -> Ambience:
        """That of this thread."""
        return Ambience(
            translation.get_language(),
            timezone.get_current_timezone(),
            get_urlconf(),
            get_script_prefix(),
        )

    def enter(self) -> None:
        """Set it up on this thread."""
        if self.language is None:
            translation.deactivate_all()
        else:
            translation.activate(self.language)
        timezone.activate(self.zone)
        if self.urlconf is not None:  # else there is none here, either
            set_urlconf(self.urlconf)
        set_script_prefix(self.prefix)
