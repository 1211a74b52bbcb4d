"""The views."""

from flask import Blueprint, current_app
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from cano_sync import MemoryStore

from .models import Asked, db
from .workflow import Quote, workflow

STATUS = {Quote.QUOTED: 200, Quote.BAD_REQUEST: 400}

pages = Blueprint("pages", __name__)


@pages.get("/quote")
def quote() -> ResponseReturnValue:
    """The cheapest offer; where the suppliers take too long, `Cano` answers 504."""
    store = MemoryStore()  # this request's own
    cancel = current_app.extensions["cano_sync"].request_token()  # CANO_REQUEST_TIMEOUT
    # Single states stay on this thread, and so in this view's session and transaction.
    final = workflow.orchestrate(Quote.READ, store=store, cancel=cancel, stay=True)
    return store.get("answer", dict), STATUS[final]


@pages.get("/log")
def log() -> ResponseReturnValue:
    """Who was asked for what, and answered in time."""
    rows = db.session.scalars(select(Asked).order_by(Asked.sku, Asked.supplier))
    return [f"{row.sku}: {row.supplier}" for row in rows]
