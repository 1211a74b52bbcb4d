"""What of a request is seen in branches, until it has ended, and by whom."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import (
    Flask,
    after_this_request,
    copy_current_request_context,
    current_app,
    g,
    has_app_context,
    has_request_context,
    request,
    session,
    url_for,
)
from flask.globals import app_ctx

from cano_sync import (
    ConfigurationError,
    JoinConfig,
    JoinError,
    JoinStrategy,
    MemoryStore,
    Workflow,
    wait_for_abandoned,
)
from cano_sync.flask import Cano, RequestEndedError
from cano_sync.scheduler import Scheduler
from tests.kit import SOON, Boom, Step, boom, single, split


def context_itself() -> Any:
    return app_ctx._get_current_object()


def in_a_branch(function: Any, width: int = 1) -> list[Any]:
    """What the function returns in the branches of a split."""
    store = MemoryStore()
    split([lambda: function()] * width, collect="values").orchestrate(Step.START, store=store)
    return store.get("values", list)


def test_request_session_and_g_are_read_in_branches(app: Flask) -> None:
    def read() -> Any:
        return (
            request.args["sku"],
            session["user"],
            g.tenant,
            current_app.name,
            has_request_context(),
            url_for("quote"),
            threading.get_ident(),
        )

    @app.get("/quote")
    def quote() -> Any:
        session["user"] = "ada"
        g.tenant = "acme"
        return in_a_branch(read, 2)

    for *seen, thread in app.test_client().get("/quote?sku=A-17").json:
        assert seen == ["A-17", "ada", "acme", "shop", True, "/quote"]
        assert thread != threading.get_ident()


def test_each_branch_has_an_app_context_of_its_own(app: Flask) -> None:
    with app.test_request_context():
        home = context_itself()
        branches = in_a_branch(context_itself, 2)
        assert context_itself() is home
    assert home not in branches
    assert branches[0] is not branches[1]


def test_branches_of_branches_see_the_request_too(app: Flask) -> None:
    def outer() -> Any:
        g.inner = "put in by a branch"
        return [context_itself(), in_a_branch(lambda: (context_itself(), request.path, g.inner))]

    with app.test_request_context("/quote"):
        ((outer_context, ((inner_context, path, inner),)),) = in_a_branch(outer)
        assert not hasattr(g, "inner")
    assert (path, inner) == ("/quote", "put in by a branch")
    assert outer_context is not inner_context


def test_what_a_branch_writes_to_the_session_is_saved(app: Flask) -> None:
    @app.get("/")
    def view() -> Any:
        in_a_branch(lambda: session.update(seen=True) or 0)
        in_a_branch(lambda: after_this_request(lambda r: r.headers.add("X-Late", "1") or r) and 0)
        return "done"

    client = app.test_client()
    response = client.get("/")
    assert response.headers["X-Late"] == "1"
    with client.session_transaction() as saved:
        assert saved["seen"] is True


def test_a_branchs_teardown_finds_in_g_only_what_the_branch_put_in(app: Flask) -> None:
    """Flask's own tutorial keeps a connection in `g`, and closes it at the teardown."""
    closed: list[str] = []

    @app.teardown_appcontext
    def close(error: BaseException | None) -> None:
        db = g.pop("db", None)
        if db is not None:
            closed.append(db)

    def own() -> str:
        g.db = "the branch's"
        return str(g.db)

    with app.test_request_context():
        g.db = "the view's"
        assert in_a_branch(lambda: g.db) == ["the view's"]
        assert closed == []
        assert in_a_branch(own) == ["the branch's"]
        assert closed == ["the branch's"]
        assert g.db == "the view's"
    assert closed == ["the branch's", "the view's"]


def test_names_of_g_that_branches_make_for_themselves() -> None:
    app = Flask("shop")
    app.config["CANO_OWN_IN_G"] = ["db"]
    Cano(app)
    with app.test_request_context():
        g.db, g.user = "the view's", "ada"
        assert in_a_branch(lambda: (g.get("db"), g.user)) == [(None, "ada")]


def test_functions_for_the_end_of_a_request_are_called_once(app: Flask) -> None:
    ended: list[str] = []
    app.teardown_request(lambda error: ended.append("request"))

    @app.get("/")
    def view() -> str:
        in_a_branch(lambda: 0, 3)
        assert ended == []
        return "done"

    app.test_client().get("/")
    assert ended == ["request"]


def test_a_teardown_that_fails_fails_the_branch(app: Flask) -> None:
    """As a commit in a teardown would."""
    home = threading.get_ident()

    @app.teardown_appcontext
    def fail(error: BaseException | None) -> None:
        if threading.get_ident() != home:
            raise Boom

    with app.test_request_context(), pytest.raises(JoinError):
        in_a_branch(lambda: 0)


@pytest.mark.parametrize("read", [lambda: request.path, lambda: session.get("user")])
def test_an_abandoned_branch_cannot_read_a_request_that_has_ended(
    app: Flask, gate: threading.Event, read: Any
) -> None:
    seen: list[Any] = []
    begun = threading.Event()

    def deaf() -> None:
        seen.append(read())
        begun.set()
        gate.wait(SOON)
        try:
            read()
        except BaseException as error:
            seen.append(error)

    def fail() -> None:
        begun.wait(SOON)
        raise Boom

    @app.get("/quote")
    def view() -> Any:
        split([deaf, fail], fail_fast=True).orchestrate(Step.START)

    with pytest.raises(JoinError):
        app.test_client().get("/quote")
    gate.set()
    assert wait_for_abandoned(SOON)
    assert isinstance(seen[1], RequestEndedError)
    assert "was asked for after the request had ended" in str(seen[1])
    assert isinstance(seen[1], RuntimeError)  # so that `if request:` is False, as Flask has it


def test_a_submitted_run_has_a_context_and_no_request_after_its_end(
    app: Flask, gate: threading.Event
) -> None:
    def later() -> Any:
        gate.wait(SOON)
        assert not request
        with pytest.raises(RequestEndedError):
            copy_current_request_context(lambda: 0)
        return Step.DONE if (current_app.name, g.tenant) == ("shop", "acme") else Step.LOST

    futures: list[Any] = []

    @app.get("/")
    def view() -> str:
        g.tenant = "acme"
        futures.append(single(later).submit(Step.START))
        return "done"

    assert app.test_client().get("/").status_code == 200
    gate.set()
    assert futures[0].result(SOON) is Step.DONE


def test_a_copy_of_a_requests_context_can_be_made_in_a_branch(app: Flask) -> None:
    with app.test_request_context("/quote"):
        assert in_a_branch(lambda: copy_current_request_context(lambda: request.path)()) == [
            "/quote"
        ]
        assert in_a_branch(lambda: request.path) == ["/quote"]


def test_two_apps_do_not_mix() -> None:
    """Only what was handed over from a context of an app is surrounded by that app's."""
    apps = [Flask("first"), Flask("second"), Flask("without")]
    cano = Cano()
    for app in apps[:2]:
        cano.init_app(app)
    meeting = threading.Barrier(6, timeout=SOON)

    def look() -> Any:
        meeting.wait()
        return current_app.name, request.path, context_itself()

    def visit(app: Flask) -> Any:
        with app.test_request_context(f"/{app.name}"):
            return context_itself(), in_a_branch(look, 2)

    with ThreadPoolExecutor(3) as visitors:
        seen = dict(zip(("first", "second", "without"), visitors.map(visit, apps), strict=True))
    for name, (home, branches) in seen.items():
        assert [found[:2] for found in branches] == [(name, f"/{name}")] * 2
        contexts = {id(found[2]) for found in branches} | {id(home)}
        assert len(contexts) == (1 if name == "without" else 3)


def test_without_any_app_nothing_is_pushed() -> None:
    assert in_a_branch(has_app_context) == [False]


def test_an_app_that_is_dropped_is_not_kept() -> None:
    """A test suite makes hundreds by a factory."""
    app = Flask("shop")
    Cano(app)
    with app.test_request_context():
        in_a_branch(lambda: 0)
    dropped = weakref.ref(app)
    del app
    gc.collect()
    assert dropped() is None


def test_a_context_from_before_the_extension_is_fresh_in_branches() -> None:
    app = Flask("shop")
    with app.app_context():
        Cano(app)
        home = context_itself()
        assert in_a_branch(context_itself) != [home]
        assert single(lambda: Step.DONE if context_itself() is home else Step.LOST).orchestrate(
            Step.START
        )


# Where nothing is handed over.


def flow() -> Workflow[Any]:
    """Notes in the store the contexts of a single state and of two branches."""

    def note(store: Any) -> Any:
        assert not has_request_context()
        store.append("contexts", (current_app.name, context_itself()))
        return Step.WORK

    join = JoinConfig(JoinStrategy.ALL, Step.DONE)
    return (
        Workflow()
        .register(Step.START, note)
        .register_split(Step.WORK, [note, note], join)
        .add_exit_state(Step.DONE)
    )


def test_a_flow_outside_of_requests_has_a_context_for_each_task(app: Flask) -> None:
    store = MemoryStore()
    flow().with_around(app.extensions["cano_sync"].around).orchestrate(Step.START, store=store)
    contexts = store.get("contexts", list)
    assert [name for name, _ in contexts] == ["shop"] * 3
    assert len({id(context) for _, context in contexts}) == 3
    assert not has_app_context()


def test_a_scheduled_flow_has_one_too(app: Flask) -> None:
    store = MemoryStore()
    scheduler = Scheduler(around=[app.extensions["cano_sync"].around])
    scheduler.manual("flow", flow(), Step.START, store=lambda: store)
    # Begun where an app context is: its threads must not share that one.
    with app.app_context(), scheduler.start_in_background():
        home = context_itself()
        scheduler.trigger("flow").result(SOON)
    contexts = store.get("contexts", list)
    assert len({id(context) for _, context in [*contexts, ("", home)]}) == 4


def test_in_a_view_it_changes_nothing(app: Flask) -> None:
    around = app.extensions["cano_sync"].around
    store = MemoryStore()

    def note(store: Any) -> Any:
        store.append("contexts", context_itself())
        store.put("tenant", g.tenant)
        return Step.DONE

    with app.test_request_context():
        g.tenant = "acme"
        home = context_itself()
        single(note).with_around(around).orchestrate(Step.START, store=store)
        split([note]).with_around(around).orchestrate(Step.START, store=store)
    first, second = store.get("contexts")
    assert first is home
    assert second is not home
    assert store.get("tenant") == "acme"


def test_one_of_another_app_is_covered(app: Flask) -> None:
    other = Flask("other")
    around = app.extensions["cano_sync"].around
    with other.app_context():
        workflow = single(lambda: Step.DONE if current_app.name == "shop" else Step.LOST)
        assert workflow.with_around(around).orchestrate(Step.START) is Step.DONE
        assert current_app.name == "other"


def test_the_app_must_be_known(app: Flask) -> None:
    cano = Cano()
    with pytest.raises(ConfigurationError, match=r"Take cano\.around_of\(app\)"):
        _ = cano.around
    with pytest.raises(ConfigurationError, match="was not given to init_app"):
        cano.around_of(app)
    other = Flask("other")
    cano.init_app(other)
    assert cano.around_of(other)


# What is wrong with it.


def test_an_app_is_given_once(app: Flask) -> None:
    with pytest.raises(ConfigurationError, match="has one already"):
        Cano(app)
    with pytest.raises(ConfigurationError, match="'shop' is no Flask app"):
        Cano("shop")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("CANO_REQUEST_TIMEOUT", "5", "CANO_REQUEST_TIMEOUT must be seconds"),
        ("CANO_REQUEST_TIMEOUT", -1, "CANO_REQUEST_TIMEOUT must be a finite number"),
        ("CANO_ERROR_RESPONSES", "no", "CANO_ERROR_RESPONSES is 'no'; give True or False"),
        ("CANO_OWN_IN_G", None, "CANO_OWN_IN_G is None; give names"),
        ("CANO_OWN_IN_G", [1], r"CANO_OWN_IN_G is \[1\]; give names"),
        ("CANO_OWN_IN_G", "db", r"CANO_OWN_IN_G is 'db'; give names, such as \['db'\]"),
    ],
)
def test_a_wrong_setting_is_found_when_the_app_is_made(name: str, value: Any, message: str) -> None:
    app = Flask("shop")
    app.config[name] = value
    with pytest.raises(ConfigurationError, match=message):
        Cano(app)
    assert "cano_sync" not in app.extensions


def test_an_error_of_a_branch_passes(app: Flask) -> None:
    with app.test_request_context(), pytest.raises(JoinError):
        split([boom]).orchestrate(Step.START)
