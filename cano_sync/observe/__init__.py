"""Seeing what runs do: observers, ready-made ones and the base class of your own."""

from ..hooks import Observer

__all__ = ("Observer",)
