"""Fixtures: apps with and without the extension, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import text

from cano_sync.flask import Cano
from tests.postgres import fresh_database, needs_postgres, sqlalchemy_url

MakeApp = Callable[..., Flask]


@pytest.fixture
def app() -> Flask:
    """An app with the extension."""
    made = Flask("shop")
    made.testing = True
    made.secret_key = "of a test"
    Cano(made)
    return made


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=needs_postgres)])
def database(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('sqlite') / Path('shop.db')}"
    else:
        with fresh_database() as name:
            yield sqlalchemy_url(name)


@pytest.fixture
def with_database(database: str) -> Iterator[MakeApp]:
    """`app, db = with_database(has_cano=True)`: an app with Flask-SQLAlchemy and a table `item`."""
    made: list[tuple[Flask, SQLAlchemy]] = []

    def make(*, has_cano: bool = True, **config: object) -> tuple[Flask, SQLAlchemy]:
        app = Flask("shop")
        app.testing = True
        app.config.update(SQLALCHEMY_DATABASE_URI=database, **config)
        app.config.setdefault("SQLALCHEMY_ENGINE_OPTIONS", {"pool_size": 10})
        db = SQLAlchemy(app)
        if has_cano:
            Cano(app)
        with app.app_context():
            db.session.execute(text("CREATE TABLE IF NOT EXISTS item (name TEXT)"))
            db.session.execute(text("DELETE FROM item"))
            db.session.commit()
        made.append((app, db))
        return app, db

    yield make
    for app, db in made:
        with app.app_context():
            db.engine.dispose()
