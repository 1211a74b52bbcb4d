"""One run, recorded: as data, as a timeline of text, as a page."""

from .notes import Note
from .record import Attempt, JoinRecord, Record, Span, Visit
from .recorder import Recorder

__all__ = ("Attempt", "JoinRecord", "Note", "Record", "Recorder", "Span", "Visit")
