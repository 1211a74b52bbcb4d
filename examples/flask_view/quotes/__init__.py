"""The application: made by a factory, as Flask's tutorial does it."""

import os
from typing import Any

from flask import Flask

from cano_sync.flask import Cano

from .models import create_tables, db
from .views import pages

DEFAULTS = {"CANO_REQUEST_TIMEOUT": 1.0, "SQLITE_FILE": "quotes.db"}


def create_app(settings: dict[str, Any] | None = None) -> Flask:
    """An app with its database, and with workflows at home in it."""
    app = Flask(__name__)
    app.config.from_mapping(DEFAULTS | (settings or {}))
    app.config.setdefault(
        "SQLALCHEMY_DATABASE_URI",
        os.environ.get("DATABASE_URL") or f"sqlite:///{app.config['SQLITE_FILE']}",
    )
    db.init_app(app)
    Cano(app)  # each branch gets a session of its own; what is late becomes a 504
    app.register_blueprint(pages)
    with app.app_context():
        create_tables()
    return app
