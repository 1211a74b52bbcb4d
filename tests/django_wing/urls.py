"""The views that the tests ask, and a workflow that system checks find by them."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import path

VIEW: list[Callable[[HttpRequest], HttpResponse]] = []
"""What the only view does: a test puts it in."""


def view(request: HttpRequest) -> HttpResponse:
    return VIEW[-1](request)


urlpatterns = [path("", view)]
