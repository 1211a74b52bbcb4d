"""A small site under a real server, for tests of whole requests.

    CANO_SHOP='{"port": 5432, ...}' python -m tests.django_wing.shop serve THREADS
    CANO_SHOP='{"port": 5432, ...}' python -m tests.django_wing.shop check --database default

With "serve", the port that it listens on is the first line that it prints.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django
from django import conf
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.http import HttpRequest, JsonResponse
from django.urls import path

from cano_sync import JoinConfig, JoinError, JoinStrategy, MemoryStore, Workflow
from tests.django_wing.servers import Server

WIDTH = 25

options: dict[str, Any] = json.loads(os.environ.get("CANO_SHOP", "{}"))
"""Where the database is ("port", "user", "name"), and how the site uses it: "pool" and "bulkhead"
by their sizes, and for how long each branch keeps its connection ("sleep")."""


def query(sql: str, *parameters: Any) -> Any:
    with connections["default"].cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchone()[0]


def branch() -> int:
    return int(query("SELECT 1 FROM pg_sleep(%s)", options.get("sleep", 0)))


join = JoinConfig(JoinStrategy.ALL, "END", collect="found", bulkhead=options.get("bulkhead"))
workflow = Workflow().register_split("ASK", [branch] * WIDTH, join).add_exit_state("END")


def quote(request: HttpRequest) -> JsonResponse:
    """A view with a query of its own, and the split."""
    store = MemoryStore()
    try:
        query("SELECT 1")
        workflow.orchestrate("ASK", store=store)
    except JoinError as error:
        branches = [branch.__cause__ for branch in error.__cause__.exceptions]
        notes = {note for cause in branches for note in getattr(cause, "__notes__", ())}
        return JsonResponse({"error": str(error), "notes": sorted(notes)}, status=500)
    return JsonResponse({"found": sum(store.get("found"))})


def other(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"found": query("SELECT 1")})


urlpatterns = [path("quote", quote), path("other", other)]


def configure() -> None:
    server = Server(options["port"], options["user"])
    pool = options.get("pool")
    more: dict[str, Any] = {}
    if pool:
        more = {"OPTIONS": {"pool": {"max_size": pool}}, "CONN_HEALTH_CHECKS": True}
    conf.settings.configure(
        SECRET_KEY="x",
        ALLOWED_HOSTS=["127.0.0.1"],
        INSTALLED_APPS=["cano_sync.django"],
        ROOT_URLCONF=__name__,
        DATABASES={"default": server.settings(options["name"], **more)},
    )
    django.setup()


def main() -> None:
    configure()
    command, *arguments = sys.argv[1:]
    if command != "serve":
        execute_from_command_line([sys.argv[0], command, *arguments])
        return
    import waitress  # which the extra "servers" brings

    server = waitress.create_server(
        get_wsgi_application(), host="127.0.0.1", port=0, threads=int(arguments[0])
    )
    print(server.effective_port, flush=True)
    server.run()


if __name__ == "__main__":
    main()
