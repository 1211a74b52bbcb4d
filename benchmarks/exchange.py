"""The ad exchange by sleeps: as a workflow, and written by hand for a `ThreadPoolExecutor`."""

from __future__ import annotations

__all__ = ("ALONE", "Phase", "asleep", "by_hand", "by_hand_stopping", "cooperative", "workflow_of")

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from enum import Enum, auto
from functools import partial
from typing import Any

from cano_sync import CancellationToken, JoinConfig, JoinStrategy, Workflow


class Phase(Enum):
    """The states of the exchange."""

    START = auto()
    GATHER_CONTEXT = auto()
    REQUEST_BIDS = auto()
    SCORE_BIDS = auto()
    RUN_AUCTION = auto()
    TRACK_RESULTS = auto()
    BUILD_RESPONSE = auto()
    COMPLETE = auto()
    NO_FILL = auto()


# Seconds that each service takes, and that its phase may take.
CONTEXT, CONTEXT_LIMIT = (0.020, 0.030, 0.050), 0.100
BIDDERS, BIDS_LIMIT = (0.045, 0.080, 0.120, 0.290, 0.350), 0.200
SCORE, SCORE_LIMIT = 0.010, 0.050
TRACKERS, TRACK_LIMIT = (0.005, 0.010, 0.020, 0.040), 0.100

ALONE = max(CONTEXT) + BIDS_LIMIT + SCORE + max(TRACKERS)
"""Seconds of waiting in a run: the longest of each phase, the time limit of the bids."""

Data = dict[str, Any]
Service = Callable[[Any], Any]


def asleep(seconds: float, store: Any) -> float:
    """A service that nobody can interrupt; its answer is a price."""
    time.sleep(seconds)
    return 2.5 + seconds * 10


def cooperative(seconds: float, store: Any, cancel: CancellationToken) -> float:
    """A service whose call ends with its token."""
    cancel.sleep(seconds)
    return 2.5 + seconds * 10


def asleep_with_bid(bid: float, store: Any) -> tuple[float, float]:
    """The service that scores a bid."""
    time.sleep(SCORE)
    return bid * 0.95, bid


# The single states, for a store and for a dict.


def validate(store: Any) -> Phase:
    """Look at the request."""
    store["request"] = {"id": "1", "imp": [{"id": "1", "bidfloor": 0.5}]}
    return Phase.GATHER_CONTEXT


def run_auction(store: Any) -> Phase:
    """Choose the best score."""
    store["winner"] = max(store["scores"])
    return Phase.TRACK_RESULTS


def build_response(store: Any) -> Phase:
    """Answer with the winner."""
    store["response"] = {"id": "1", "price": store["winner"][1]}
    return Phase.COMPLETE


def score_tasks(store: Any) -> list[Service]:
    """One scoring for each bid that came."""
    return [partial(asleep_with_bid, bid) for bid in store["bids"]]


def services(service: Callable[..., float], delays: Iterable[float]) -> list[Service]:
    """A service for each delay."""
    return [partial(service, seconds) for seconds in delays]


def workflow_of(service: Callable[..., float]) -> Workflow[Phase]:
    """The exchange as a workflow, over `asleep` or `cooperative` services."""
    all_of, some_of = JoinStrategy.ALL, JoinStrategy.PARTIAL_TIMEOUT
    no_fill = Phase.NO_FILL
    return (
        Workflow[Phase]()
        .register(Phase.START, validate)
        .register_split(
            Phase.GATHER_CONTEXT,
            services(service, CONTEXT),
            JoinConfig(
                all_of,
                Phase.REQUEST_BIDS,
                timeout=CONTEXT_LIMIT,
                collect="context",
                error_state=no_fill,
            ),
        )
        .register_split(
            Phase.REQUEST_BIDS,
            services(service, BIDDERS),
            JoinConfig(
                some_of,
                Phase.SCORE_BIDS,
                timeout=BIDS_LIMIT,
                collect="bids",
                error_state=no_fill,
            ),
        )
        .register_split(
            Phase.SCORE_BIDS,
            score_tasks,
            JoinConfig(
                all_of,
                Phase.RUN_AUCTION,
                timeout=SCORE_LIMIT,
                collect="scores",
                error_state=no_fill,
            ),
        )
        .register(Phase.RUN_AUCTION, run_auction)
        .register_split(
            Phase.TRACK_RESULTS,
            services(service, TRACKERS),
            JoinConfig(all_of, Phase.BUILD_RESPONSE, timeout=TRACK_LIMIT, error_state=no_fill),
        )
        .register(Phase.BUILD_RESPONSE, build_response)
        .add_exit_states(Phase.COMPLETE, no_fill)
    )


class Late(Exception):
    """A phase of the twin was not complete in time."""


def by_hand(pool: ThreadPoolExecutor) -> Phase:
    """One run as an engineer writes it; what is late runs on and is looked at no more."""
    store: Data = {}
    validate(store)
    try:
        store["context"] = _all(pool, services(asleep, CONTEXT), store, CONTEXT_LIMIT)
        store["bids"] = _in_time(pool, services(asleep, BIDDERS), store, BIDS_LIMIT)
        store["scores"] = _all(pool, score_tasks(store), store, SCORE_LIMIT)
        run_auction(store)
        _all(pool, services(asleep, TRACKERS), store, TRACK_LIMIT)
    except Late:
        return Phase.NO_FILL
    return build_response(store)


def by_hand_stopping(pool: ThreadPoolExecutor) -> Phase:
    """The same with services that end when their phase ends: an event for each phase."""
    store: Data = {}
    validate(store)
    try:
        with Stop() as stop:
            store["context"] = _all(pool, stop.services(CONTEXT), store, CONTEXT_LIMIT)
        with Stop() as stop:
            store["bids"] = _in_time(pool, stop.services(BIDDERS), store, BIDS_LIMIT)
        store["scores"] = _all(pool, score_tasks(store), store, SCORE_LIMIT)
        run_auction(store)
        with Stop() as stop:
            _all(pool, stop.services(TRACKERS), store, TRACK_LIMIT)
    except Late:
        return Phase.NO_FILL
    return build_response(store)


class Stop:
    """The end of a phase, for the services that are still at it."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def services(self, delays: Iterable[float]) -> list[Service]:
        """A service for each delay that listens to this."""
        return services(self._wait, delays)

    def _wait(self, seconds: float, store: Any) -> float:
        if self._event.wait(seconds):
            raise Late
        return 2.5 + seconds * 10

    def __enter__(self) -> Stop:
        return self

    def __exit__(self, *_: object) -> None:
        self._event.set()


def _all(
    pool: ThreadPoolExecutor, tasks: Sequence[Service], store: Data, limit: float
) -> list[Any]:
    futures = [pool.submit(task, store) for task in tasks]
    _, late = wait(futures, limit)
    if late:
        _give_up(late)
        raise Late
    return [future.result() for future in futures]


def _in_time(
    pool: ThreadPoolExecutor, tasks: Sequence[Service], store: Data, limit: float
) -> list[Any]:
    futures = [pool.submit(task, store) for task in tasks]
    done, late = wait(futures, limit)
    _give_up(late)
    if not done:
        raise Late
    return [future.result() for future in futures if future in done and not future.exception()]


def _give_up(late: Iterable[Future[Any]]) -> None:
    for future in late:
        future.cancel()
