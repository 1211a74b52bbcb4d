"""The view."""

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import translation

from cano_sync import CanoError, MemoryStore, WorkflowCancelledError
from cano_sync.django import request_token, submit_on_commit

from .workflow import LETTERS, ORDERS, Step


def order(request: HttpRequest) -> HttpResponse:
    """Take an order, within one transaction and the time of the setting."""
    amount = request.POST.get("amount", "")
    if not amount.isdecimal():
        return JsonResponse({"error": f"{amount!r} is no amount"}, status=400)
    store = MemoryStore({"amount": int(amount), "city": request.POST.get("city", "")})
    try:
        with translation.override("de"):
            # On this thread, with its transaction, though there is a limit.
            ORDERS.orchestrate(Step.SAVE, store=store, cancel=request_token(request), stay=True)
    except CanoError as error:
        transaction.set_rollback(True)  # what SAVE has written
        # A time limit of the workflow's, or that of the request's token.
        is_late = isinstance(error, TimeoutError | WorkflowCancelledError)
        return JsonResponse({"error": str(error)}, status=504 if is_late else 502)
    submit_on_commit(LETTERS, Step.WRITE, store=MemoryStore({"order": store.get("order")}))
    return JsonResponse({"carriers": [carrier for _, carrier in store.get("offers")]})
