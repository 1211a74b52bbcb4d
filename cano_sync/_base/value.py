"""`Value`: the base of small immutable objects that are equal when their fields are."""

from __future__ import annotations

__all__ = ("Value",)

from typing import Any, NoReturn, Self, dataclass_transform


@dataclass_transform(frozen_default=True)
class Value:
    """Its fields are its `__slots__`; a subclass's `__init__` takes them by these names.

    What a frozen dataclass would be, but for its price: six of those, and the module that makes
    them, were a third of the time that importing this library took.

    >>> class Point(Value):
    ...     __slots__ = ("x", "y")
    ...     def __init__(self, x: int, y: int = 0) -> None:
    ...         self._fill(x, y)
    >>> Point(1), Point(1) == Point(1, 0), Point(1).replace(y=2)
    (Point(x=1, y=0), True, Point(x=1, y=2))
    """

    __slots__: tuple[str, ...] = ()

    def _fill(self, *values: Any) -> None:
        """Set all fields, in the order of the slots."""
        for name, value in zip(self.__slots__, values, strict=True):
            object.__setattr__(self, name, value)

    def _values(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in self.__slots__])

    def replace(self, **changes: Any) -> Self:
        """The same with other values in some fields."""
        return type(self)(**{**dict(zip(self.__slots__, self._values(), strict=True)), **changes})

    __replace__ = replace  # for copy.replace(), from Python 3.13 on

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} cannot be changed; make another: replace()")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} cannot be changed; make another: replace()")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        pairs = zip(self.__slots__, self._values(), strict=True)
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in pairs)})"

    def __getstate__(self) -> tuple[Any, ...]:
        return self._values()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._fill(*state)
