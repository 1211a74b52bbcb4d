"""Many flows and many threads that steer them at once: no run is lost, and none overlaps another.

The seed says what each thread does; when it does it, the machine decides.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

import pytest

from cano_sync import (
    CancellationToken,
    ConfigurationError,
    JoinConfig,
    JoinStrategy,
    Store,
    Workflow,
    WorkflowCancelledError,
    wait_for_abandoned,
)
from cano_sync.scheduler import Backoff, FlowObserver, FlowState, Scheduler

SEED = 20_261
FLOWS = 60
CALLERS = 8
LASTS = 2.5
"""Seconds."""
SOON = 20.0


class Counts(FlowObserver):
    """Counts events of each flow."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.started: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()

    def flow_started(self, *, flow: str, lag: float, **_: Any) -> None:
        assert lag >= 0
        with self._lock:
            self.started[flow] += 1

    def flow_skipped(self, *, flow: str, running_for: float, **_: Any) -> None:
        assert running_for >= 0
        with self._lock:
            self.skipped[flow] += 1


class Flow:
    """What one flow does, and whether two of its runs were ever under way at once."""

    def __init__(self, id: str, seed: int) -> None:
        self.id = id
        self._draw = random.Random(seed)
        self._busy = threading.Lock()
        self.overlaps = 0
        self.begun = 0
        self.ended = 0

    def task(self, store: Store, cancel: CancellationToken) -> str:
        if not self._busy.acquire(blocking=False):
            self.overlaps += 1
            return "DONE"
        try:
            self.begun += 1
            kind = self._draw.random()
            if kind < 0.2:
                raise OSError("as planned")
            if kind < 0.5:
                cancel.sleep(self._draw.uniform(0, 0.02))
            elif kind < 0.6:
                time.sleep(self._draw.uniform(0, 0.01))  # deaf, but not for long
            store.put("ran", self.begun)
            return "DONE"
        finally:
            self.ended += 1
            self._busy.release()

    @property
    def workflow(self) -> Workflow[str]:
        if self._draw.random() < 0.8:
            return Workflow[str]().register("GO", self.task).add_exit_state("DONE")
        join = JoinConfig(JoinStrategy.ALL, "DONE")
        return Workflow[str]().register_split("GO", [self.task], join).add_exit_state("DONE")


class Steering:
    """A thread that does what comes to its mind with flows that others steer, too."""

    def __init__(self, scheduler: Scheduler, flows: list[Flow], seed: int) -> None:
        self._scheduler = scheduler
        self._flows = flows
        self._draw = random.Random(seed)
        self._seed = seed
        self.futures: list[Future[Any]] = []
        self.errors: list[BaseException] = []
        self.done: Counter[str] = Counter()

    def run(self, end: float) -> None:
        try:
            while time.monotonic() < end:
                what = self._draw.choice(self._deeds)
                try:
                    what(self)
                except ConfigurationError:  # it runs, has tripped, is not there, or there already
                    self.done["refused"] += 1
                else:
                    self.done[what.__name__] += 1
        except BaseException as error:
            self.errors.append(error)

    def _some(self) -> str:
        return self._draw.choice(self._flows).id

    def trigger(self) -> None:
        self.futures.append(self._scheduler.trigger(self._some()))

    def look(self) -> None:
        status = self._scheduler.status(self._some())
        assert status.runs >= 0 and status.failures <= status.runs
        assert (status.state is FlowState.TRIPPED) <= (status.next_due is None)

    def look_at_all(self) -> None:
        ids = [status.id for status in self._scheduler.list()]
        assert len(ids) == len(set(ids))
        time.sleep(0.001)

    def pause(self) -> None:
        self._scheduler.pause(self._some())

    def resume(self) -> None:
        self._scheduler.resume(self._some())

    def reset(self) -> None:
        self._scheduler.reset(self._some())

    def come_and_go(self) -> None:
        """A flow of this thread's own, which comes, runs and goes again while it runs."""
        id = f"of {self._seed}: {self.done['come_and_go']}"
        flow = Flow(id, self._draw.getrandbits(32))
        self._scheduler.every(id, flow.workflow, "GO", 0.003, catch_up=self._draw.random() < 0.5)
        self.futures.append(self._scheduler.trigger(id))
        self._scheduler.remove(id)

    _deeds: tuple[Callable[[Any], None], ...] = (
        trigger, trigger, look, look, look_at_all, pause, resume, resume, reset, come_and_go,
    )  # fmt: skip


def add(scheduler: Scheduler, flow: Flow, draw: random.Random) -> None:
    backoff = Backoff(0.005, cap=0.05, trip_after=4) if draw.random() < 0.5 else None
    catch_up = draw.random() < 0.3
    if draw.random() < 0.2:
        scheduler.cron(flow.id, flow.workflow, "GO", "* * * * * *", tz="UTC", backoff=backoff)
    elif draw.random() < 0.2:
        scheduler.manual(flow.id, flow.workflow, "GO", backoff=backoff)
    else:
        interval = draw.uniform(0.004, 0.03)
        jitter = draw.choice([0, interval / 2])
        scheduler.every(
            flow.id, flow.workflow, "GO", interval,
            jitter=jitter, catch_up=catch_up, backoff=backoff,
        )  # fmt: skip


@pytest.mark.parametrize("timeout", [None, 0.0])
def test_flows_that_everybody_steers_at_once(timeout: float | None) -> None:
    draw = random.Random(SEED)
    counts = Counts()
    scheduler = Scheduler(observers=[counts], random=random.Random(SEED))
    flows = [Flow(f"flow {number}", draw.getrandbits(32)) for number in range(FLOWS)]
    for flow in flows:
        add(scheduler, flow, draw)
    callers = [Steering(scheduler, flows, draw.getrandbits(16)) for _ in range(CALLERS)]
    with scheduler.start_in_background(stop_timeout=timeout):
        end = time.monotonic() + LASTS
        threads = [threading.Thread(target=each.run, args=(end,)) for each in callers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert [each.errors for each in callers] == [[]] * CALLERS
    done = sum((each.done for each in callers), Counter())
    assert min(done[deed.__name__] for deed in Steering._deeds) > 0
    futures = [future for each in callers for future in each.futures]
    assert wait(futures, 0).not_done == set()
    cancelled = [each for each in futures if isinstance(each.exception(), WorkflowCancelledError)]
    assert not cancelled or timeout is not None
    for flow in flows:
        status = scheduler.status(flow.id)
        assert flow.overlaps == 0
        assert status.state is FlowState.STOPPED
        assert status.runs == counts.started[flow.id]
        assert status.skipped == counts.skipped[flow.id]
        if timeout is None:
            assert status.runs == flow.begun == flow.ended
    assert wait_for_abandoned(SOON)
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith(("cano-clock", "cano-flow"))]
