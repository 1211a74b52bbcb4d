"""`Cano`, the extension that is put into an app."""

from __future__ import annotations

__all__ = ("Cano",)

from collections.abc import Collection
from typing import Any

from flask import Flask, appcontext_pushed, current_app, request_started

from .. import Around, CancellationToken, ConfigurationError
from .._base import durations
from .around import EXTENSION, OWN_IN_G, AppContextAround, install
from .command import command
from .contexts import note_began, note_ended, note_left, note_pushed, request_state
from .responses import add_responses

TIMEOUT = "CANO_REQUEST_TIMEOUT"
RESPONSES = "CANO_ERROR_RESPONSES"


class Cano:
    """Puts workflows at home in a Flask app: `Cano(app)`, or `Cano()` and later `init_app(app)`.

    From then on, in this app and in no other:

    - A task on another thread than the view's gets a fresh `app.app_context()`, and with it a
      session of its own from Flask-SQLAlchemy, which is removed when the task ends. `request`,
      `session` and what is in `g` stay readable, until the request has ended.
    - `WorkflowTimeoutError` and `SplitTimeoutError` that a view lets pass are answered by 504,
      `WorkflowCancelledError` by 503, as plain text, or as JSON where the client prefers that.
      What went wrong is in the app's log, and not in the answer. Your own handlers go first.
    - `flask cano ...` is the command line `cano-sync`, within the app's context.

    It reads, when it is put in, from `app.config`:

    - `CANO_REQUEST_TIMEOUT`: seconds, or a `timedelta`, from the beginning of a request until its
      token is cancelled; None, the default, for no limit.
    - `CANO_ERROR_RESPONSES`: whether it answers errors; default True.
    - `CANO_OWN_IN_G`: names in `g` that branches do not see, and so make for themselves: that of a
      connection which the app keeps there, such as `["db"]`. Default: none.

    One object may serve several apps, from any thread.

    Args:
        app: the app; None where `init_app` comes later.

    Raises:
        ConfigurationError: a value of the configuration cannot be; or the app has one already.

    >>> from flask import Flask
    >>> app = Flask("shop")
    >>> app.config["CANO_REQUEST_TIMEOUT"] = 5
    >>> cano = Cano(app)
    >>> with app.test_request_context():
    ...     4 < cano.request_token().remaining() <= 5
    True
    """

    def __init__(self, app: Flask | None = None) -> None:
        self._app: Flask | None = None
        if app is not None:
            self.init_app(app)
            self._app = app

    def init_app(self, app: Flask) -> None:
        """Put it into an app, as an application factory does.

        Raises:
            ConfigurationError: as of the class.
        """
        if not isinstance(app, Flask):
            raise ConfigurationError(f"Cano: {app!r} is no Flask app")
        if EXTENSION in app.extensions:
            raise ConfigurationError(
                f"Cano: the app {app.name!r} has one already; call init_app(app) once"
            )
        config = app.config
        config.setdefault(TIMEOUT, None)
        config.setdefault(RESPONSES, True)
        config.setdefault(OWN_IN_G, ())
        durations.limit(config[TIMEOUT], TIMEOUT)
        _check_names(config[OWN_IN_G])
        if not isinstance(config[RESPONSES], bool):
            raise ConfigurationError(f"{RESPONSES} is {config[RESPONSES]!r}; give True or False")
        app.extensions[EXTENSION] = self
        appcontext_pushed.connect(note_pushed, app)
        request_started.connect(note_began, app)
        app.teardown_appcontext(note_left)
        app.teardown_request(note_ended)
        if config[RESPONSES]:
            add_responses(app)
        app.cli.add_command(command)
        install()

    def request_token(self) -> CancellationToken:
        """The token of the current request, the same for all who ask. Safe from any thread.

        Its time is up `CANO_REQUEST_TIMEOUT` after the request's beginning. It is cancelled when
        the request has ended, and with it what was submitted with it and still runs. A run that is
        submitted without it goes on.

        Raises:
            RequestEndedError: the request has ended.
            ConfigurationError: there is no request, or the app has no `Cano`; or the configuration
                was changed to what cannot be.
        """
        state = request_state()
        if state is None:
            raise ConfigurationError(
                "request_token(): there is no request here; outside of requests, make a "
                "CancellationToken(timeout=...)"
            )
        if EXTENSION not in current_app.extensions:
            raise ConfigurationError(
                f"request_token(): the app {current_app.name!r} has no Cano; call init_app(app)"
            )
        return state.token(durations.limit(current_app.config[TIMEOUT], TIMEOUT))

    @property
    def around(self) -> Around:
        """What gives tasks an app context where none is handed over: scheduled flows.

        For `Scheduler(around=[cano.around])`, and for a workflow that runs outside of requests and
        commands: `workflow.with_around(cano.around)`. A task that finds a context of the app, on
        the thread that has pushed it, keeps that.

        Raises:
            ConfigurationError: it was not made for one app: `Cano(app)`; see `around_of`.
        """
        if self._app is None:
            raise ConfigurationError(
                "Cano.around: of which app? Take cano.around_of(app), or make it by Cano(app)"
            )
        return self.around_of(self._app)

    def around_of(self, app: Flask) -> Around:
        """The same of an app that `init_app` was called with.

        Raises:
            ConfigurationError: it was not.
        """
        if not isinstance(app, Flask) or app.extensions.get(EXTENSION) is not self:
            raise ConfigurationError(f"around_of(): {app!r} was not given to init_app()")
        return AppContextAround(app)


def _check_names(value: Any) -> None:
    is_many = isinstance(value, Collection) and not isinstance(value, str)
    if not is_many or not all(isinstance(name, str) for name in value):
        raise ConfigurationError(f"{OWN_IN_G} is {value!r}; give names, such as ['db']")
