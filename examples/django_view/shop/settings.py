"""The settings: SQLite, or PostgreSQL where PGDATABASE names a database."""

import os
import tempfile
from pathlib import Path
from typing import Any

BASE = Path(__file__).parents[1]

SECRET_KEY = "for this example only"
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = ["cano_sync.django", "shop"]  # the first one is all that is to be done
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASE: dict[str, Any] = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": BASE / "db.sqlite3",
    # A file, so that threads have it in common; one for each process of tests.
    "TEST": {"NAME": Path(tempfile.gettempdir()) / f"shop_{os.getpid()}.sqlite3"},
}
if "PGDATABASE" in os.environ:
    DATABASE = {
        "ENGINE": "django.db.backends.postgresql",  # PGHOST and PGUSER are read by its library
        "NAME": os.environ["PGDATABASE"],
        "OPTIONS": {"pool": {"max_size": 8}},  # branches of all requests wait for these
        "CONN_HEALTH_CHECKS": True,
    }
DATABASES = {"default": {**DATABASE, "ATOMIC_REQUESTS": True}}

CANO_SYNC = {"REQUEST_TIMEOUT": 5}  # seconds
SILENCED_SYSTEM_CHECKS = ["cano_sync.W002"]  # SQLite has one writer: our branches do not write
