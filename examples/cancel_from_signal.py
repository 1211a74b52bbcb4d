"""Stop on SIGTERM and Ctrl-C: the handler cancels a token, and the run ends at once.

The worker is blocked in a system call that knows nothing of tokens. `on_cancel` wakes it, by
shutting down the connection that the call waits on, and `finally` cleans up.

    python examples/cancel_from_signal.py
"""

import signal
import socket
import threading
from enum import Enum, auto
from types import FrameType
from typing import Literal

from cano_sync import CancellationToken, Store, Workflow, WorkflowCancelledError


class Worker(Enum):
    """The states."""

    LISTEN = auto()
    DONE = auto()


class Listener:
    """Waits for a message on a connection where nobody ever says anything."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.listening = threading.Event()
        self.closed = threading.Event()

    def __call__(self, store: Store, cancel: CancellationToken) -> Literal[Worker.DONE]:
        try:
            with cancel.on_cancel(self.hang_up):
                self.listening.set()
                store.put("message", self.connection.recv(1024))
        finally:
            self.connection.close()
            self.closed.set()
        return Worker.DONE

    def hang_up(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)


def serve(listener: Listener) -> None:
    """What a program does: its handler cancels a token, and the run gets that token."""
    token = CancellationToken()

    def stop(number: int, frame: FrameType | None) -> None:
        token.cancel(f"{signal.Signals(number).name} received")

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)

    workflow = Workflow().register(Worker.LISTEN, listener).add_exit_state(Worker.DONE)
    try:
        workflow.orchestrate(Worker.LISTEN, cancel=token)
    except WorkflowCancelledError as error:
        print(f"{type(error).__name__}: {error}")
        print(f"  the reason: {error.reason}")


def kill(listener: Listener, number: signal.Signals, thread: int) -> None:
    """What the operator does, once the worker is at work."""
    listener.listening.wait()
    signal.pthread_kill(thread, number)


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        connection, other_end = socket.socketpair()
        with other_end:
            listener = Listener(connection)
            operator = threading.Thread(
                target=kill, args=(listener, number, threading.get_ident()), daemon=True
            )
            operator.start()
            serve(listener)
            print(f"  the connection is closed: {listener.closed.wait(10)}")


if __name__ == "__main__":
    main()
