"""The app: what Django loads when it starts."""

from __future__ import annotations

__all__ = ("CanoSyncConfig",)

from django.apps import AppConfig

from .around import install
from .checks import register


class CanoSyncConfig(AppConfig):
    """The app `cano_sync.django`, with the label `cano_sync`."""

    name = "cano_sync.django"
    label = "cano_sync"
    verbose_name = "cano_sync"

    def ready(self) -> None:
        """Surround all runs of the process, and register the system checks; the first time."""
        install()
        register()
