"""One run, recorded: as data, as a timeline of text, as a page."""

from .record import Attempt, Fate, JoinRecord, Record, Span, Visit
from .recorder import Recorder
from .remarks import Note

__all__ = ("Attempt", "Fate", "JoinRecord", "Note", "Record", "Recorder", "Span", "Visit")
