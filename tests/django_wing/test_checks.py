"""What `manage.py check` says before the first request."""

from __future__ import annotations

from typing import Any

import pytest
from django import conf
from django.core import checks
from django.db import connections
from django.test import override_settings

from cano_sync import JoinStrategy, Workflow
from cano_sync.django.checks import check_server, check_setting, check_splits, register
from tests.django_wing import urls
from tests.django_wing.servers import needs_postgres
from tests.kit import Step, nothing, split

WIDE = split([nothing] * 25)
NARROW = split([nothing] * 25, bulkhead=3)
UNKNOWN = split(lambda: [nothing], JoinStrategy.ALL)
HERE = "tests.django_wing.test_checks"


def configured(monkeypatch: pytest.MonkeyPatch, alias: str = "default", **database: Any) -> None:
    """The settings of one database, as if they had been so from the beginning."""
    connection = connections[alias]
    given = {**connection.settings_dict, **database}
    monkeypatch.setattr(connection, "settings_dict", given)
    monkeypatch.setattr(connections, "_settings", {alias: given})
    monkeypatch.setattr(connections, "settings", {alias: given})


def ids(messages: list[checks.CheckMessage]) -> list[str]:
    assert all(message.hint for message in messages)
    return [message.id for message in messages]


def known(*names: str) -> Any:
    return override_settings(CANO_SYNC={"WORKFLOWS": [f"{HERE}.{name}" for name in names]})


def test_they_are_registered_once_however_often_the_app_is_made() -> None:
    register()
    register()
    assert list(checks.registry.registry.get_checks()).count(check_splits) == 1
    assert checks.run_checks() == []


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ([], "must be a dict"),
        ({"REQUEST_TIMEOUT": "5"}, "CANO_SYNC['REQUEST_TIMEOUT'] must be seconds"),
        ({"TIMEOUT": 5}, "CANO_SYNC has 'TIMEOUT'; it knows REQUEST_TIMEOUT, WORKFLOWS"),
        ({"WORKFLOWS": f"{HERE}.WIDE"}, "must be a list of dotted paths"),
        ({"WORKFLOWS": ["no.such.module"]}, "No module named 'no'"),
        ({"WORKFLOWS": [f"{HERE}.HERE"]}, "which is no Workflow"),
    ],
)
def test_a_wrong_setting_is_an_error(setting: Any, said: str) -> None:
    with override_settings(CANO_SYNC=setting):
        (message,) = check_setting()
        check_splits()
    assert message.id == "cano_sync.E001"
    assert said in message.msg


def test_workflows_of_views_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urls, "WORKFLOW", WIDE, raising=False)
    configured(monkeypatch, ATOMIC_REQUESTS=True)
    monkeypatch.setitem(_databases()["default"], "ATOMIC_REQUESTS", True)
    (message,) = check_splits()
    assert message.id == "cano_sync.W002"
    assert message.msg.startswith("tests.django_wing.urls.WORKFLOW, state Step.START: ")


def _databases() -> Any:
    return conf.settings.DATABASES


@needs_postgres
def test_a_split_beyond_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    configured(monkeypatch, "pool")
    with known("WIDE", "NARROW", "UNKNOWN"):
        wide, unknown = check_splits()
    assert ids([wide, unknown]) == ["cano_sync.W001"] * 2
    assert "WIDE, state Step.START: without a bulkhead it lets 25 branches" in wide.msg
    assert "has 4 connections" in wide.msg
    assert "bulkhead=3" in wide.hint
    configured(monkeypatch, "pool", CONN_HEALTH_CHECKS=False, OPTIONS={"pool": True})
    with known("NARROW"):
        assert ids(check_splits()) == ["cano_sync.W005"]


@needs_postgres
def test_a_split_without_pool_and_bulkhead(monkeypatch: pytest.MonkeyPatch) -> None:
    configured(monkeypatch, "pg")
    with known("WIDE", "NARROW"):
        (message,) = check_splits()
        assert message.id == "cano_sync.W003"
        assert "need 104 connections for 4 requests at once" in message.msg
        assert "PostgreSQL usually has 97" in message.msg
        (asked,) = check_server(databases=["pg"])
        assert "its server has" in asked.msg
        assert check_server(databases=None) == []


@needs_postgres
def test_connections_that_are_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    configured(monkeypatch, "pg", CONN_MAX_AGE=None)
    with known("NARROW"):
        assert ids(check_splits()) == ["cano_sync.W004"]
    with known():
        assert check_splits() == []


@needs_postgres
def test_a_server_that_does_not_answer_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django says so itself. And nobody asks one whose connections are a pool's."""
    with known("WIDE"):
        assert check_server(databases=["pool", "default"]) == []
        connections["pg"].close()
        monkeypatch.setitem(connections["pg"].settings_dict, "PORT", "1")
        assert check_server(databases=["pg"]) == []


@needs_postgres
def test_a_split_whose_width_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    configured(monkeypatch, "pg")
    with known("UNKNOWN"):
        (message,) = check_splits()
    assert "as many connections for each request as the split will have branches" in message.msg


def test_a_project_without_urls_has_those_of_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(conf.settings, "ROOT_URLCONF")
    with known("WIDE"):
        assert {message.msg.split(",")[0] for message in check_splits()} <= {f"{HERE}.WIDE"}


def test_a_workflow_without_a_split_is_nobodys_concern(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urls, "WORKFLOW", Workflow().register(Step.START, nothing), raising=False)
    monkeypatch.setitem(_databases()["default"], "ATOMIC_REQUESTS", True)
    assert check_splits() == []
