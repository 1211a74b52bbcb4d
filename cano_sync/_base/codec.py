"""Values as tagged JSON, and back: exactly the value that it was, or an error."""

from __future__ import annotations

__all__ = ("Codec", "Placeholder", "Types", "Unencodable", "ValueCodec", "digest_of")

import base64
import dataclasses
import enum
import hashlib
import json
import math
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from json.encoder import encode_basestring_ascii
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any, Generic, TypeAlias, TypeVar
from zoneinfo import ZoneInfo

from .. import errors
from ..errors import CanoError, ConfigurationError, CorruptCheckpointError, RecordedError
from .text import error_text
from .tracebacks import traceback_text

T = TypeVar("T")

# Our own errors by their names. What is read can name no other class.
ERRORS: dict[str, type[CanoError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, CanoError)
}

DEEPEST = 100
"""How deep values may be nested in each other."""

_TAG = "$"
_ATOMS = frozenset({str, int, float, bool, type(None)})
_KEYS = frozenset({str})
# Longer than this in decimal digits, Python reads and writes no number.
_LONG = 14_000
_SMALL = 2**63
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_dumps = json.JSONEncoder(
    ensure_ascii=True, allow_nan=False, check_circular=False, separators=(",", ":")
).encode


def digest_of(text: str) -> str:
    """A short text that stands for a long one; the same in every process and version.

    >>> digest_of("{}")
    '2afb9b83f9314e5d029766197f539792'
    """
    return hashlib.blake2b(text.encode("ascii"), digest_size=16).hexdigest()


class Unencodable(Exception):
    """A value cannot be written: the text says which part of it, and why."""


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """How values of one type are recorded, where their shape does not say it.

    Args:
        type: the type; values of exactly this type are meant.
        encode: makes something of a value that can be recorded: a str, a dict, a registered type.
        decode: makes the value of that again.

    >>> import re
    >>> patterns = Codec(re.Pattern, lambda pattern: pattern.pattern, re.compile)
    >>> values = ValueCodec([patterns])
    >>> values.decode(values.encode(re.compile("a+")))
    re.compile('a+')
    """

    type: type[T]
    encode: Callable[[T], Any]
    decode: Callable[[Any], T]


AnyType: TypeAlias = "type[Any] | Codec[Any]"
Types: TypeAlias = "Iterable[AnyType] | Mapping[str, AnyType]"


@dataclass(frozen=True, slots=True)
class Placeholder:
    """Stands for a value that this process has no type for, where values are only looked at."""

    name: str
    value: Any

    def __repr__(self) -> str:
        return f"<{self.name} {self.value!r}>"


class ValueCodec:
    """Writes values as text, and reads them. Immutable, and safe from any thread.

    JSON's own values are written as they are, all others with a tag: an object of one key that
    begins with "$". Types beyond those of the standard library that are listed in `_TAGS` are
    known by registration only; nothing that is read is ever imported, called by its name, or
    unpickled.

    Args:
        types: dataclasses, named tuples, enums, classes of attrs, msgspec and pydantic; `Codec`s
            for anything else. A mapping says under which names: an old name may stay as an alias,
            if it comes before the new one.

    >>> values = ValueCodec()
    >>> values.encode({"paid": Decimal("3.50"), "lines": (1, 2)})
    '{"paid":{"$decimal":"3.50"},"lines":{"$tuple":[1,2]}}'
    >>> values.decode(values.encode({"paid": Decimal("3.50"), "lines": (1, 2)}))
    {'paid': Decimal('3.50'), 'lines': (1, 2)}
    """

    __slots__ = ("_by_name", "_by_type")

    def __init__(self, types: Types = ()) -> None:
        self._by_name: dict[str, tuple[Codec[Any], bool]] = {}
        self._by_type: dict[type[Any], tuple[str, Codec[Any]]] = {}
        self._register(types)

    def with_types(self, types: Types) -> ValueCodec:
        """One that knows these, too.

        Raises:
            ConfigurationError: one of them is no type, has no shape, or its name is taken.
        """
        made = ValueCodec()
        made._by_name.update(self._by_name)
        made._by_type.update(self._by_type)
        made._register(types)
        return made

    def with_states(self, states: Iterable[Any]) -> ValueCodec:
        """One that knows the enums of these states, too."""
        kinds = {type(state): None for state in states if isinstance(state, enum.Enum)}
        return self.with_types([kind for kind in kinds if kind not in self._by_type])

    def digest(self, value: Any) -> str:
        """A short text that stands for a value; see `digest_of`."""
        return digest_of(self.encode(value))

    def _register(self, types: Any) -> None:
        if not isinstance(types, Iterable) or isinstance(types, str):
            raise ConfigurationError(f"types must be a list of types or a mapping, not {types!r}")
        if isinstance(types, Mapping):
            named = list(types.items())
        else:
            named = [(_name_of(each), each) for each in types]
        for name, given in named:
            if not isinstance(name, str) or not name:
                raise ConfigurationError(f"a type's name must be a text, not {name!r}")
            codec = given if isinstance(given, Codec) else _by_shape(given)
            known = self._by_name.get(name)
            if known is not None and known[0].type is not codec.type:
                raise ConfigurationError(
                    f"two types are called {name!r}: {known[0].type!r} and {codec.type!r}; give "
                    'them names: types={"name": Type, ...}'
                )
            self._by_name[name] = (codec, isinstance(given, Codec))
            self._by_type[codec.type] = (name, codec)  # the last name is the one that is written

    # Writing.

    def encode(self, value: Any) -> str:
        """The value as ASCII text.

        Equal texts mean equal values; a set is written in an order of its own.

        Raises:
            Unencodable: something in it is of no known type, or is nested too deeply.
        """
        kind = type(value)
        if kind is str and value.isascii():
            return encode_basestring_ascii(value)
        if kind is int and -_SMALL < value < _SMALL:
            return repr(value)
        try:
            text = _dumps(self._plain(value, 0, False))
            if "\\ud" not in text:
                return text
        except ValueError:  # a number that JSON cannot say
            pass
        return _dumps(self._plain(value, 0, True))

    def _plain(self, value: Any, depth: int, careful: bool) -> Any:
        """The value in what JSON has. Only where `careful`, text and numbers are looked into."""
        kind = type(value)
        if kind in _ATOMS:
            return _atom(value, kind) if careful else value
        if depth >= DEEPEST:
            raise Unencodable(f"it is nested deeper than {DEEPEST} levels, or contains itself")
        depth += 1
        if kind is list:
            if not careful and _ATOMS.issuperset(map(type, value)):
                return value
            return [self._plain(each, depth, careful) for each in value]
        if kind is dict:
            if not _KEYS.issuperset(map(type, value)) or (
                _TAG in "".join(value) and any(key[:1] == _TAG for key in value)
            ):
                return {"$dict": [self._pair(item, depth, careful) for item in value.items()]}
            if careful:
                if any(_PAIR.search(key) for key in value):
                    return {"$dict": [self._pair(item, depth, careful) for item in value.items()]}
            elif _ATOMS.issuperset(map(type, value.values())):
                return value
            return {key: self._plain(each, depth, careful) for key, each in value.items()}
        if kind is tuple:
            return {"$tuple": [self._plain(each, depth, careful) for each in value]}
        if kind is set or kind is frozenset:
            items = [self._plain(each, depth, True) for each in value]
            return {f"${kind.__name__}": sorted(items, key=_dumps)}
        write = _WRITERS.get(kind)
        if write is not None:
            return write(value)
        known = self._by_type.get(kind)
        if known is not None:
            name, codec = known
            return {"$type": [name, self._plain(_called(codec.encode, value), depth, careful)]}
        if isinstance(value, BaseException):
            return {"$error": self._error(value, depth, careful)}
        raise Unencodable(_unknown(value))

    def _pair(self, item: tuple[Any, Any], depth: int, careful: bool) -> list[Any]:
        return [self._plain(each, depth, careful) for each in item]

    def _error(self, error: BaseException, depth: int, careful: bool) -> dict[str, Any]:
        """An exception; of what it carries, what can be written."""
        name = type(error).__name__
        if ERRORS.get(name) is not type(error):
            if isinstance(error, RecordedError):
                facts = (error.kind, error.message, error.trace)
            else:
                facts = (_full_name(type(error)), _message_of(error), traceback_text(error))
            return {"foreign": [_atom(fact, str) for fact in facts]}
        carried: dict[str, Any] = {}
        for key, value in vars(error).items():
            try:
                carried[key] = self._plain(value, depth, careful)
            except Unencodable:
                if key == "state":
                    carried[key] = _atom(str(getattr(value, "name", value)), str)
        cause = error.__cause__
        return {
            "name": name,
            "message": _atom(str(error), str),
            "carried": carried,
            "cause": None if cause is None else self._plain(cause, depth, careful),
        }

    # Reading.

    def decode(self, text: str, *, lenient: bool = False) -> Any:
        """The value that was written.

        Args:
            text: what `encode` gave.
            lenient: put a `Placeholder` where a type is not known, instead of raising.

        Raises:
            CorruptCheckpointError: it is no such text, or of a type that is not registered.
        """
        try:
            value = json.loads(text)
            return self.restore(value, lenient=lenient) if '"$' in text else value
        except CorruptCheckpointError:
            raise
        except (Exception, RecursionError) as error:
            raise CorruptCheckpointError(f"it cannot be read: {error_text(error)}") from error

    def restore(self, value: Any, *, lenient: bool = False) -> Any:
        """The same of what JSON has made of the text already."""
        try:
            return self._restored(value, lenient)
        except CorruptCheckpointError:
            raise
        except (Exception, RecursionError) as error:
            raise CorruptCheckpointError(f"it cannot be read: {error_text(error)}") from error

    def _restored(self, value: Any, lenient: bool) -> Any:
        kind = type(value)
        if kind is list:
            if _ATOMS.issuperset(map(type, value)):
                return value
            return [self._restored(each, lenient) for each in value]
        if kind is not dict:
            return value
        if len(value) == 1:
            ((tag, inner),) = value.items()
            if tag[:1] == _TAG:
                return self._tagged(tag, inner, lenient)
        if _ATOMS.issuperset(map(type, value.values())):
            return value
        return {key: self._restored(each, lenient) for key, each in value.items()}

    def _tagged(self, tag: str, inner: Any, lenient: bool) -> Any:
        if tag in _COLLECTIONS:
            return _COLLECTIONS[tag](self._restored(each, lenient) for each in inner)
        if tag == "$dict":
            return {
                self._restored(key, lenient): self._restored(each, lenient) for key, each in inner
            }
        if tag in _READERS:
            return _READERS[tag](inner)
        if tag == "$type":
            name, payload = inner
            payload = self._restored(payload, lenient)
            known = self._by_name.get(name)
            if known is not None:
                return known[0].decode(payload)
            if lenient:
                return Placeholder(str(name), payload)
            raise CorruptCheckpointError(
                f"it has a value of type {name!r}, which is not registered: add the type to "
                "with_checkpoints(types=...), under this name if it was renamed"
            )
        if tag == "$error":
            return self._restored_error(inner, lenient)
        if lenient:
            return Placeholder(tag, self._restored(inner, lenient))
        raise CorruptCheckpointError(f"it has a value with the unknown tag {tag!r}")

    def _restored_error(self, given: dict[str, Any], lenient: bool) -> BaseException:
        if "foreign" in given:
            kind, message, trace = (_text(self._restored(fact, False)) for fact in given["foreign"])
            return RecordedError(kind, message, trace)
        made = ERRORS[given["name"]](_text(self._restored(given["message"], False)))
        for key, value in given["carried"].items():
            if key in vars(made):  # what is read sets no other attributes
                setattr(made, key, self._restored(value, lenient))
        made.__cause__ = self._restored(given["cause"], lenient)
        return made


# Text and numbers.


def _atom(value: Any, kind: type[Any]) -> Any:
    """A text or a number, tagged where JSON would give back another one, or none."""
    if kind is str:
        if not value.isascii() and _PAIR.search(value):  # two halves that JSON would join
            return {"$str": [ord(character) for character in value]}
    elif kind is float:
        if not math.isfinite(value):
            return {"$float": repr(value)}
    elif kind is int and value.bit_length() > _LONG:
        return {"$int": hex(value)}
    return value


def _message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # the user's own, of an object that is half made
        return ""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise CorruptCheckpointError(f"it has {value!r} where a text should be")
    return value


# The standard library's values.


def _zone(given: tzinfo | None) -> Any:
    """What isoformat() does not say of a time zone: its name."""
    if given is None or type(given) is timezone:
        return None
    if type(given) is ZoneInfo and given.key is not None:
        return given.key
    raise Unencodable(
        f"the time zone {given!r} is of type {_full_name(type(given))}; use zoneinfo.ZoneInfo or "
        "datetime.timezone"
    )


def _write_datetime(value: datetime) -> Any:
    zone = _zone(value.tzinfo)
    shown = value if zone is None else value.replace(tzinfo=None)
    return {"$datetime": [shown.isoformat(), zone, value.fold]}


def _read_datetime(inner: Any) -> datetime:
    text, zone, fold = inner
    value = datetime.fromisoformat(text).replace(fold=fold)
    return value if zone is None else value.replace(tzinfo=ZoneInfo(zone))


def _write_time(value: time) -> Any:
    zone = _zone(value.tzinfo)
    shown = value if zone is None else value.replace(tzinfo=None)
    return {"$time": [shown.isoformat(), zone, value.fold]}


def _read_time(inner: Any) -> time:
    text, zone, fold = inner
    value = time.fromisoformat(text).replace(fold=fold)
    return value if zone is None else value.replace(tzinfo=ZoneInfo(zone))


_PURE: dict[str, type[PurePath]] = {"posix": PurePosixPath, "windows": PureWindowsPath}


def _read_pure(inner: Any) -> PurePath:
    which, text = inner
    return _PURE[which](text)


def _base64(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode("ascii")


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _path(value: PurePath) -> Any:
    return {"$path": _atom(str(value), str)}


_WRITERS: dict[type[Any], Callable[[Any], Any]] = {
    bytes: lambda value: {"$bytes": _base64(value)},
    bytearray: lambda value: {"$bytearray": _base64(value)},
    complex: lambda value: {"$complex": [repr(value.real), repr(value.imag)]},
    datetime: _write_datetime,
    date: lambda value: {"$date": value.isoformat()},
    time: _write_time,
    timedelta: lambda value: {"$timedelta": [value.days, value.seconds, value.microseconds]},
    Decimal: lambda value: {"$decimal": str(value)},
    uuid.UUID: lambda value: {"$uuid": value.hex},
    PosixPath: _path,
    WindowsPath: _path,
    PurePosixPath: lambda value: {"$purepath": ["posix", _atom(str(value), str)]},
    PureWindowsPath: lambda value: {"$purepath": ["windows", _atom(str(value), str)]},
}

_COLLECTIONS: dict[str, Callable[[Iterable[Any]], Any]] = {
    "$tuple": tuple,
    "$set": set,
    "$frozenset": frozenset,
}

_READERS: dict[str, Callable[[Any], Any]] = {
    "$str": lambda inner: "".join(map(chr, inner)),
    "$int": lambda inner: int(inner, 16),
    "$float": float,
    "$bytes": _from_base64,
    "$bytearray": lambda inner: bytearray(_from_base64(inner)),
    "$complex": lambda inner: complex(*map(float, inner)),
    "$datetime": _read_datetime,
    "$date": date.fromisoformat,
    "$time": _read_time,
    "$timedelta": lambda inner: timedelta(*inner),
    "$decimal": Decimal,
    "$uuid": uuid.UUID,
    "$path": lambda inner: Path(_untagged(inner)),
    "$purepath": lambda inner: _read_pure([inner[0], _untagged(inner[1])]),
}


def _untagged(inner: Any) -> str:
    return _text(_READERS["$str"](inner["$str"]) if isinstance(inner, dict) else inner)


# Registered types.


def _name_of(given: Any) -> str:
    kind = given.type if isinstance(given, Codec) else given
    return str(getattr(kind, "__name__", kind))


def _full_name(kind: type[Any]) -> str:
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def _unknown(value: Any) -> str:
    name = _full_name(type(value))
    return (
        f"it is or contains an object of type {name}, which cannot be recorded; register the type: "
        f"with_checkpoints(..., types=[{type(value).__name__}]), give a Codec for it, or name the "
        "key in transient=..."
    )


def _called(encode: Callable[[Any], Any], value: Any) -> Any:
    try:
        return encode(value)
    except Exception as error:
        raise Unencodable(
            f"encoding {_full_name(type(value))} raised {error_text(error)}"
        ) from error


def _by_shape(kind: Any) -> Codec[Any]:
    """How a type is recorded by its shape.

    Raises:
        ConfigurationError: it is no type, or has none of the shapes.
    """
    if not isinstance(kind, type):
        raise ConfigurationError(f"types={kind!r}: that is no type; give the class itself")
    if issubclass(kind, enum.Flag):
        return Codec(kind, lambda member: member.value, kind)
    if issubclass(kind, enum.Enum):
        return Codec(kind, lambda member: member.name, lambda name: kind[name])
    if dataclasses.is_dataclass(kind):
        return _dataclass_codec(kind)
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        make: Callable[[Any], Any] = getattr(kind, "_make")  # noqa: B009
        return Codec(kind, list, make)
    shape: Any = kind
    if hasattr(kind, "__attrs_attrs__"):
        names = {
            each.name: each.alias or each.name.lstrip("_")
            for each in shape.__attrs_attrs__
            if each.init
        }
        return _fields_codec(kind, names)
    if hasattr(kind, "__struct_fields__"):  # msgspec
        return _fields_codec(kind, {name: name for name in shape.__struct_fields__})
    if hasattr(kind, "model_dump") and hasattr(kind, "model_validate"):  # pydantic
        return Codec(kind, lambda model: model.model_dump(), shape.model_validate)
    raise ConfigurationError(
        f"the type {_full_name(kind)} cannot be recorded by its shape: it is no dataclass, named "
        f"tuple, enum, or class of attrs, msgspec or pydantic; give Codec({kind.__name__}, encode, "
        "decode) instead"
    )


def _fields_codec(kind: type[Any], names: Mapping[str, str]) -> Codec[Any]:
    """A type with fields that its constructor takes by these names."""
    return Codec(
        kind,
        lambda value: {name: getattr(value, name) for name in names},
        lambda given: kind(**{names[name]: each for name, each in given.items()}),
    )


def _dataclass_codec(kind: Any) -> Codec[Any]:
    fields = dataclasses.fields(kind)
    wanted = [each.name for each in kind.__dataclass_fields__.values() if each not in fields]
    wanted = [name for name in wanted if "InitVar" in str(kind.__dataclass_fields__[name].type)]
    if wanted:
        raise ConfigurationError(
            f"the dataclass {_full_name(kind)} takes {wanted[0]!r}, which it does not keep "
            f"(an InitVar); give Codec({kind.__name__}, encode, decode) instead"
        )
    names = [each.name for each in fields]
    later = {each.name for each in fields if not each.init}

    def decode(given: dict[str, Any]) -> Any:
        unknown = given.keys() - set(names)
        if unknown:
            raise CorruptCheckpointError(
                f"it has a {kind.__name__} with the field {min(unknown)!r}, which that type has no "
                "more; raise the version, and give an upgrade"
            )
        made = kind(**{name: each for name, each in given.items() if name not in later})
        for name in later & given.keys():
            object.__setattr__(made, name, given[name])
        return made

    return Codec(kind, lambda value: {name: getattr(value, name) for name in names}, decode)
