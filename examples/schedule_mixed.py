"""A timetable of three kinds, stopped gracefully: SIGTERM comes while a flow is at work.

One flow runs at an interval, one by a cron expression, one by hand. An operator waits until each
has run, and then sends the signal. What is under way is finished, and nothing new begins.

    python examples/schedule_mixed.py
"""

import os
import signal
import threading
from enum import Enum, auto
from typing import Literal

from cano_sync import MemoryStore, Store, Workflow
from cano_sync.scheduler import Backoff, Cron, Every, Manual, Scheduler


class Job(Enum):
    """The states, the same for all three."""

    WORK = auto()
    DONE = auto()


class Pulse:
    """Counts, and says when it has counted to three."""

    def __init__(self) -> None:
        self.three = threading.Event()

    def __call__(self, store: Store) -> Literal[Job.DONE]:
        if store.update("beats", lambda beats: beats + 1, default=0) == 3:
            self.three.set()
        return Job.DONE


class Mail:
    """A server that does not answer the first time."""

    def __init__(self) -> None:
        self.sent = threading.Event()
        self.calls = 0

    def __call__(self) -> Literal[Job.DONE]:
        self.calls += 1
        if self.calls == 1:
            raise ConnectionError("the mail server does not answer")
        self.sent.set()
        return Job.DONE


class Backup:
    """Copies two halves of something; between them comes the signal."""

    def __init__(self) -> None:
        self.half_way = threading.Event()
        self.signal_came = threading.Event()

    def __call__(self) -> Literal[Job.DONE]:
        print("backup: one half is copied")
        self.half_way.set()
        self.signal_came.wait(20)
        print("backup: both are copied")
        return Job.DONE


def flow(task: Pulse | Mail | Backup) -> Workflow[Job]:
    return Workflow[Job]().register(Job.WORK, task).add_exit_state(Job.DONE)


def operate(scheduler: Scheduler, pulse: Pulse, mail: Mail, backup: Backup) -> None:
    """What the operator does, on a thread of their own."""
    pulse.three.wait(20)
    print("operator: the pulse beats")
    mail.sent.wait(20)
    print("operator: the mail is sent, though not the first time")
    scheduler.trigger("backup")
    backup.half_way.wait(20)
    print("operator: SIGTERM")
    os.kill(os.getpid(), signal.SIGTERM)
    backup.signal_came.set()


def main() -> None:
    pulse, mail, backup = Pulse(), Mail(), Backup()
    scheduler = Scheduler()
    scheduler.add("pulse", flow(pulse), Job.WORK, Every(0.05), store=MemoryStore())
    again = Backoff(0.1, trip_after=5)
    scheduler.add("mail", flow(mail), Job.WORK, Cron("* * * * * *"), backoff=again)
    scheduler.add("backup", flow(backup), Job.WORK, Manual())

    # It waits until the scheduler is started: what comes by hand before would be an error.
    operator = threading.Thread(target=operate, args=(scheduler, pulse, mail, backup))
    operator.start()
    scheduler.start(stop_timeout=10)
    operator.join()

    for status in scheduler.list():
        print(f"{status.id:6} | {status.schedule:16} | {status.state} | {status.last_result.name}")


if __name__ == "__main__":
    main()
