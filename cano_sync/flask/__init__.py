"""For Flask: contexts and database sessions for branches, limits by request, answers, a command.

It needs the extra `flask`: `pip install 'cano_sync[flask]'`. Putting the extension in is all that
is needed for an app context, and so a session of Flask-SQLAlchemy, in each branch:

>>> from flask import Flask, current_app
>>> from cano_sync import JoinConfig, JoinStrategy, MemoryStore, Workflow
>>> from cano_sync.flask import Cano
>>> app = Flask("shop")
>>> cano = Cano(app)
>>> def ask(store):
...     return current_app.name
>>> workflow = (
...     Workflow()
...     .register_split("ASK", [ask] * 2, JoinConfig(JoinStrategy.ALL, "DONE", collect="names"))
...     .add_exit_state("DONE")
... )
>>> @app.get("/quote")
... def quote():
...     store = MemoryStore()
...     workflow.orchestrate("ASK", store=store, cancel=cano.request_token(), stay=True)
...     return store.get("names")
>>> app.test_client().get("/quote").json
['shop', 'shop']
"""

try:
    import flask as _flask  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        "cano_sync.flask needs Flask: pip install 'cano_sync[flask]'", name=error.name
    ) from error

from .contexts import RequestEndedError
from .extension import Cano

__all__ = ("Cano", "RequestEndedError")
