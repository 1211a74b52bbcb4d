"""The engine: what happens once, when a description is run."""

from .jobs import Job
from .nesting import Nesting
from .offload import WRITE_GRACE
from .pool import DAEMON_THREADS, Pool, occupancy

# What the wings may take from the engine. All else that they need they take from the front door.
__all__ = ("DAEMON_THREADS", "WRITE_GRACE", "Job", "Nesting", "Pool", "occupancy")
