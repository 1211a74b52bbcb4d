"""A small Flask project: branches with `db.session` and `request`, limits, answers, tests.

    python examples/flask_view/flask_view.py            four requests by the test client
    python examples/flask_view/flask_view.py --serve    a server: /quote?sku=A-17&amount=3
    python -m pytest examples/flask_view                its tests

It uses an SQLite database of its own, or the one that `DATABASE_URL` names, such as
`postgresql+psycopg:///shop`. `quotes/__init__.py` is where to begin reading.
"""

import sys
import tempfile
from pathlib import Path

from flask import Flask
from quotes import create_app
from quotes.models import add_samples, db


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        app = create_app({"SQLITE_FILE": Path(folder) / "quotes.db"})
        with app.app_context():
            add_samples()
        if "--serve" in sys.argv[1:]:
            app.run()
        else:
            ask(app)
        with app.app_context():
            db.engine.dispose()


def ask(app: Flask) -> None:
    """Requests by the test client."""
    app.logger.setLevel("ERROR")  # that a request was late is a warning
    client = app.test_client()
    for query in ("sku=A-17&amount=3", "sku=A-17&amount=many", "sku=A-99"):
        response = client.get(f"/quote?{query}", headers={"Accept": "application/json"})
        print(f"GET /quote?{query}")
        print(f"  {response.status}: {response.get_data(as_text=True).strip()}")
    print("GET /log")
    for line in client.get("/log").get_json():
        print(f"  {line}")


if __name__ == "__main__":
    main()
