"""The stage: real threads, of which one runs at a time, and a clock that jumps."""

from __future__ import annotations

__all__ = ("START", "Actor", "Stage", "Strategy", "is_making_thread", "place_of")

import _thread
import sys
import threading
from collections.abc import Callable
from contextvars import Context
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from ..._base import cancellation
from .errors import SimulationError, SimulationFailure, SimulationOver

START = 1_000.0
"""What the monotonic clock of a simulation shows first. The same each time: floats are rounded."""

STREAK = 1_000
"""Decisions in a row for one actor while others could go on; then one of them is. Who asks again
and again whether something has happened must not keep it from happening."""

IDLE = 2.0
"""Seconds for which a thread stays parked between two simulations."""

Test = Callable[[], bool]

_token_lock: Any = cancellation._lock


class Actor:
    """A thread in a simulation.

    Attributes:
        number: the order in which they came; 0 is who called.
        name: what messages call it.
        test: None while it can go on; else what is asked whether it can.
        until: the virtual moment at which it goes on in any case; None for never.
        what: what it waits for, in words.
        is_service: whether it waits for what need not come: the run may end meanwhile.
        watched: what it has fetched and may change in place; see watching.py.
    """

    __slots__ = (
        "context",
        "function",
        "ident",
        "is_service",
        "lock",
        "name",
        "number",
        "streak",
        "test",
        "thread",
        "until",
        "watched",
        "what",
    )

    def __init__(self, number: int, name: str, function: Callable[[], object]) -> None:
        self.number = number
        self.name = name
        self.function = function
        self.lock = _thread.allocate_lock()  # the baton comes by it
        self.lock.acquire()
        self.ident = 0
        self.thread: _Parked | None = None
        self.context = Context()  # as a new thread has
        self.test: Test | None = None
        self.until: float | None = None
        self.what = ""
        self.streak = 0
        self.is_service = False
        self.watched: Any = None


class Strategy(Protocol):
    """Who decides which actor goes on."""

    def born(self, actor: Actor) -> None:
        """There is one more actor."""
        ...

    def choose(self, ready: list[Actor], current: Actor | None) -> Actor:
        """One of at least two that can go on, in the order of their numbers.

        Args:
            ready: the actors.
            current: the one of them that has run last; None where that cannot go on.
        """
        ...


class Stage:
    """One simulated run: its actors, its clock, its decisions.

    Used by one thread at a time, which holds the baton: so it needs no locks. The thread that
    called `perform` is no actor; it waits, and looks whether somebody blocks outside.

    Args:
        strategy: decides who goes on.
        limit: virtual seconds that the run may take.
        max_steps: switch points that it may pass.
        patience: real seconds without a switch point after which somebody blocks outside.

    Attributes:
        now: what the monotonic clock shows.
        ident: the identity of the thread that holds the baton; 0 while it is `outside()`.
        decisions: the numbers of those who were chosen, wherever there was a choice.
        defaults: of each decision, who would have been chosen without a strategy.
        left: the actors that were still there at the end, with what they waited for.
        is_aborting: whether those who are still there are on their way out.
        note: takes a line of the story, about who runs.
    """

    def __init__(
        self, strategy: Strategy, *, limit: float, max_steps: int, patience: float
    ) -> None:
        self.now = START
        self.ident = 0
        self.steps = 0
        self.current: Actor | None = None
        self.decisions: list[int] = []
        self.defaults: list[int] = []
        self.left: list[str] = []
        self.ended_at = START
        self._strategy = strategy
        self._limit = limit
        self._max_steps = max_steps
        self._patience = patience
        self._actors: list[Actor] = []
        self._born = 0
        self._is_over = False  # the first actor has ended
        self.is_aborting = False
        self._failure: BaseException | None = None
        self._done = _thread.allocate_lock()
        self._done.acquire()
        self.is_outside = False
        self.note: Callable[[str], None] = _nothing
        self.trace: Any = None  # for sys.settrace(), on each actor's thread

    # For the thread that calls.

    def perform(self, function: Callable[[], object], context: Context) -> None:
        """Do this as the first actor, until it and all that it has begun have ended.

        Raises:
            SimulationFailure: a deadlock, or a limit was passed.
            SimulationError: somebody blocks outside the simulation.
        """
        first = self.spawn("caller", function)
        first.context = context
        try:
            self._hand_to(first)
            self._wait_done()
        except BaseException as error:  # Ctrl-C, or somebody who blocks outside
            self._failure = error
        finally:
            self._abort()
        if self._failure is not None:
            raise self._failure

    def _wait_done(self) -> None:
        seen = -1
        while not self._done.acquire(True, self._patience):
            if self.steps == seen and not self.is_outside:
                raise self._blocked_outside()
            seen = self.steps

    def _blocked_outside(self) -> SimulationError:
        actor = self.current
        assert actor is not None
        frame = sys._current_frames().get(actor.ident)
        return SimulationError(
            f"{self.name_of(actor)} blocks outside the simulation{place_of(frame)}: nothing has "
            f"happened for {self._patience:g} s; give it a fake, make its locks during the run, "
            "or, if it is a short call, put it into `with outside():`"
        )

    def _abort(self) -> None:
        """Let those who are still there end, one after the other."""
        self.is_aborting = True
        failure = self._failure
        stuck = self.current if isinstance(failure, SimulationError) else None
        if failure is not None and not isinstance(failure, SimulationError | SimulationFailure):
            # Ctrl-C: somebody still runs, and ends at the next switch point.
            self._done.acquire(True, self._patience)
        for actor in [*self._actors]:
            if actor is stuck:  # it ends by itself, if it ever comes back
                continue
            self._hand_to(actor)
            if not self._done.acquire(True, self._patience):
                break  # it caught what should have ended it, and goes on; or blocks outside
        self.ident = 0

    def _hand_to(self, actor: Actor) -> None:
        self.current = actor
        self.ident = actor.ident
        actor.lock.release()

    # For the actor that runs.

    def spawn(self, name: str, function: Callable[[], object]) -> Actor:
        """One more actor, on a parked thread; it can go on from now on."""
        actor = self.adopt(name, function)
        actor.thread = _take_parked()
        actor.thread.stage_and_actor = (self, actor)
        actor.lock = actor.thread.lock
        actor.ident = actor.thread.ident or 0
        return actor

    def adopt(self, name: str, function: Callable[[], object]) -> Actor:
        """One more actor, on a thread that the caller starts, and that calls `play`."""
        if self.is_aborting:
            raise RuntimeError("the simulation is over, and no thread begins any more")
        actor = Actor(self._born, name, function)
        self._born += 1
        self._actors.append(actor)
        self._strategy.born(actor)
        return actor

    def drop(self, actor: Actor) -> None:
        """Its thread could not be started."""
        self._actors.remove(actor)

    def play(self, actor: Actor) -> None:
        """The whole life of an actor, on its thread, which has just got the baton."""
        try:
            if not self.is_aborting:
                self._run(actor)
        except SimulationOver:
            pass
        except BaseException as error:
            self._fail(error)
        finally:
            self._leave(actor)

    def _run(self, actor: Actor) -> None:
        if self.trace is None:
            actor.context.run(actor.function)
            return
        before = sys.gettrace()
        sys.settrace(self.trace)
        try:
            actor.context.run(actor.function)
        finally:
            sys.settrace(before)

    def _leave(self, actor: Actor) -> None:
        if actor.watched is not None:
            actor.watched.paused(actor)
        if actor in self._actors:
            self._actors.remove(actor)
        if actor.number == 0:
            self._is_over = True
            self.ended_at = self.now
        if actor.thread is not None:
            _park(actor.thread)
        if self.current is not actor:  # it had blocked outside, and the simulation ended without it
            return
        if self.is_aborting:
            self._done.release()
            return
        following = self._next(None)
        if following is None:
            self.ident = 0
            self._done.release()
        else:
            self._hand_to(following)

    def has(self, actor: Actor) -> bool:
        """Whether the actor has not ended."""
        return actor in self._actors

    def step(self) -> None:
        """A switch point: somebody else may go on."""
        me = self._me()
        self._count()
        if me.watched is not None:
            me.watched.paused(me)
        following = self._next(me)
        if following is not me:
            self._switch(me, following)
        elif me.watched is not None:
            me.watched.resumed(me)

    def block(
        self, test: Test | None, until: float | None, what: str, *, service: bool = False
    ) -> bool:
        """Let others go on until the test holds, or the virtual moment comes; does it hold?

        Args:
            test: is asked again and again, by whoever runs; None for a sleep.
            until: on the virtual monotonic clock; None for never.
            what: what is waited for, in words.
            service: whether the run may end meanwhile.
        """
        me = self._me()
        if test is not None and test():
            return True
        self._count()
        if me.watched is not None:
            me.watched.paused(me)
        me.test, me.until, me.what, me.is_service = test or _never, until, what, service
        following = self._next(None)
        if following is not me:
            self._switch(me, following)
        elif me.watched is not None:
            me.watched.resumed(me)
        me.test = me.until = None
        me.is_service = False
        return test is not None and test()

    def sleep(self, seconds: float, what: str = "time.sleep()") -> None:
        """Let so many virtual seconds pass."""
        if seconds > 0:
            self.block(None, self.now + seconds, what)
        else:
            self.step()

    def fail(self, message: str) -> None:
        """End the run with this failure, from here."""
        self._fail(SimulationFailure(message))
        raise SimulationOver

    def _me(self) -> Actor:
        me = self.current
        if self.is_aborting or me is None or me.ident != _thread.get_ident():
            raise SimulationOver
        return me

    def _count(self) -> None:
        # Whoever hands over while holding a lock of the engine's makes others wait for real. The
        # one of all tokens can be asked whether it is this thread that has it.
        assert not _token_lock._is_owned(), "a hand-over while the lock of the tokens is held"
        self.steps += 1
        if self.steps > self._max_steps:
            self.fail(
                f"no end after {self._max_steps:,} steps and {self.now - START:g} virtual seconds: "
                f"{self._places()}\nIf it is meant to take so many, give steps="
            )

    def _switch(self, me: Actor, following: Actor | None) -> None:
        if following is None:  # the run is over, and everybody else has ended or waits for ever
            self.ident = 0
            self._done.release()
        else:
            self._hand_to(following)
        me.lock.acquire()
        if self.is_aborting:
            raise SimulationOver
        if me.watched is not None:
            me.watched.resumed(me)

    def _next(self, me: Actor | None) -> Actor | None:
        """Who goes on. None once the run is over, if nobody else has to end."""
        while True:
            now = self.now
            ready = []
            for actor in self._actors:
                test = actor.test
                if test is None or (actor.until is not None and actor.until <= now) or test():
                    ready.append(actor)
            if self._is_over and self._is_idle(ready):
                return None
            if ready:
                return ready[0] if len(ready) == 1 else self._choose(ready, me)
            if not self._advance():
                return None

    def _is_idle(self, ready: list[Actor]) -> bool:
        return not ready and all(actor.is_service for actor in self._actors)

    def _choose(self, ready: list[Actor], me: Actor | None) -> Actor:
        if self._is_over:  # what is left to do, in a fixed order
            return ready[0]
        default = me or ready[0]
        if me is not None and me.streak >= STREAK:
            others = [actor for actor in ready if actor is not me]
            me.streak, me = 0, None
            default = others[0]
            if len(others) == 1:
                return default
            ready = others
        chosen = self._strategy.choose(ready, me)
        chosen.streak = chosen.streak + 1 if chosen is me else 0
        self.decisions.append(chosen.number)
        self.defaults.append(default.number)
        return chosen

    def _advance(self) -> bool:
        """Let time pass until somebody can go on; False if nobody ever can, and none has to."""
        moments = [actor.until for actor in self._actors if actor.until is not None]
        if not moments:
            if self._is_over:
                self._note_left("for ever")
                return False
            self._fail(SimulationFailure(f"deadlock: nobody can go on: {self._places()}"))
            return False
        moment = min(moments)
        if moment - START > self._limit:
            if self._is_over:
                self._note_left(f"beyond {self._limit:g} virtual seconds")
                return False
            self._fail(
                SimulationFailure(
                    f"the run takes more than {self._limit:g} virtual seconds: {self._places()}\n"
                    "If it is meant to, give limit="
                )
            )
            return False
        self.now = max(self.now, moment)
        return True

    def _note_left(self, how_long: str) -> None:
        self.left = [
            f"{self._place(actor)}, {how_long}" for actor in self._actors if not actor.is_service
        ]

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error

    # Words.

    name_of: Callable[[Actor], str] = staticmethod(lambda actor: actor.name)
    """What to call an actor: who watches the run knows what it is doing."""

    def _places(self) -> str:
        lines = [f"\n  {self._place(actor)}" for actor in self._actors if not actor.is_service]
        return "".join(lines)

    def _place(self, actor: Actor) -> str:
        frame = (
            sys._getframe()
            if actor.ident == _thread.get_ident()
            else sys._current_frames().get(actor.ident)
        )
        waits = f"waits for {actor.what}" if actor.test is not None else "could go on"
        return f"{self.name_of(actor)} {waits}{place_of(frame)}"


def _nothing(what: str) -> None:
    """Nobody wants to know."""


def _never() -> bool:
    return False


_PACKAGE = str(Path(__file__).parents[2])
_LIBRARY = str(Path(threading.__file__).parent)


def place_of(frame: FrameType | None) -> str:
    """Where users' code is, as " at file.py:12 in `name`"; nothing where there is none."""
    while frame is not None and _is_library(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None:
        return ""
    return f" at {Path(frame.f_code.co_filename).name}:{frame.f_lineno} in `{frame.f_code.co_name}`"


def _is_library(file: str) -> bool:
    if "site-packages" in file:
        return False
    return file.startswith((_PACKAGE, _LIBRARY, "<frozen"))


# The threads that actors are played on. They stay parked for a while, for the next simulation: a
# thread costs ten times what a hand-over does. The lock guards the list.
_lock = threading.Lock()
_parked: list[_Parked] = []
_PARKED = "cano-simulated"
_start = threading.Thread.start


class _Parked(threading.Thread):
    """A thread that plays one actor after the other."""

    def __init__(self) -> None:
        super().__init__(name=_PARKED, daemon=True)
        self.lock = _thread.allocate_lock()
        self.lock.acquire()
        self.stage_and_actor: tuple[Stage, Actor] | None = None

    def run(self) -> None:
        while True:
            if not self.lock.acquire(True, IDLE):
                with _lock:
                    if self in _parked:
                        _parked.remove(self)
                        return
                self.lock.acquire()  # somebody has just taken it for an actor
            work, self.stage_and_actor = self.stage_and_actor, None
            assert work is not None
            stage, actor = work
            self.name = actor.name
            stage.play(actor)
            self.name = _PARKED
            del work, stage, actor


_is_making = threading.local()


def is_making_thread() -> bool:
    """Whether this thread is just making one of ours, whose locks are to be real ones."""
    return getattr(_is_making, "now", False)


def _take_parked() -> _Parked:
    with _lock:
        thread = _parked.pop() if _parked else None
    if thread is None:
        _is_making.now = True
        try:
            thread = _Parked()
            _start(thread)
        finally:
            _is_making.now = False
    return thread


def _park(thread: _Parked) -> None:
    with _lock:
        _parked.append(thread)
