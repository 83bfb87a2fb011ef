"""Reading JSON as a wire model says, several times as quickly as pydantic, where all is well.

Of the model a decoder is made (by msgspec) that knows the same rules. It refuses nothing: what it
does not vouch for is read by pydantic, which decides and says what is wrong.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, reduce
from operator import or_
from types import FunctionType, NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
)
from uuid import UUID

import msgspec
from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from msgspec.structs import asdict
from pydantic import AfterValidator, AllowInfNan, AwareDatetime, BaseModel, StringConstraints
from pydantic.fields import FieldInfo

from carbon.schema.fields import FitsAKey, finite_by_name, finite_in_order, without_nul

_Shape = TypeVar("_Shape", bound=BaseModel)
_Make = Callable[[Any], Any]

_NUL = rb"\u0000"
"""As JSON writes it; by itself it may not stand there."""

# More digits of a second than six are dropped by one reader and rounded by another.
_MOMENT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)\Z"

_MOST_BYTES_OF_A_CHARACTER = 4  # in UTF-8


class QuickReader(Generic[_Shape]):
    """Reads JSON objects as one wire model says.

    Args:
        shape: the model, of the kinds of fields that `carbon.schema` has. What its validators do
            is done here too.

    Raises:
        TypeError: a rule that this reader does not know.
    """

    def __init__(self, shape: type[_Shape]) -> None:
        decoded, self._make = _model(shape)
        self._decode = msgspec.json.Decoder(decoded).decode

    def read(self, text: bytes | msgspec.Raw) -> _Shape | None:
        """Return what is read; None where pydantic is to be asked.

        It has the fields and methods of the model, with the values that pydantic would give them,
        and is no instance of it: to make one takes as long as all the rest. See `model_of`.

        Args:
            text: JSON in which no string has a NUL; see `may_hold_nul`.
        """
        try:
            read: _Shape = self._make(self._decode(text))
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None
        return read


def may_hold_nul(text: bytes) -> bool:
    """Tell whether a string in this JSON may have a NUL, which no field takes."""
    return b"\\" in text and _NUL in text  # Seldom is there any: to look for one byte is quicker.


def fields_of(read: Any) -> dict[str, Any]:
    """Return the fields of a model, or of what was read quickly; its parts stay what they are."""
    return asdict(read) if isinstance(read, msgspec.Struct) else dict(read)


def json_of(value: Any) -> str:
    """Return as JSON what may have either in it."""
    return msgspec.json.encode(value, enc_hook=fields_of).decode()


def model_of(shape: type[_Shape], read: _Shape) -> _Shape:
    """Return as an instance of the model what may have been read quickly."""
    return read if isinstance(read, shape) else shape.model_validate(read, from_attributes=True)


class _Kind(NamedTuple):
    """How values of a type are read."""

    decoded: Any
    """The type that the decoder makes of them."""
    make: _Make | None = None
    """What makes of such a value, if it is not None, what pydantic would, or raises ValueError;
    None where there is nothing to do."""


class _ModelKind(NamedTuple):
    decoded: type[msgspec.Struct]
    make: _Make


_PLAIN = (str, int, float, bool, NoneType, UUID)


def _kind(annotation: Any, rules: Iterable[Any] = ()) -> _Kind:
    kind, rules = _unbounded(annotation), list(_one_by_one(rules))
    bounds: dict[str, Any] = {}
    makes = [kind.make]
    for rule in rules:
        bound, make = _rule(rule)
        for name, limit in bound.items():
            tighter = min if name in ("le", "max_length") else max
            bounds[name] = tighter(limit, bounds[name]) if name in bounds else limit
        makes.append(make)
    decoded = Annotated[kind.decoded, msgspec.Meta(**bounds)] if bounds else kind.decoded
    return _Kind(decoded, _in_turn(makes))


def _unbounded(annotation: Any) -> _Kind:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _PLAIN or origin is Literal:
        return _Kind(annotation)
    if annotation is AwareDatetime:
        return _Kind(Annotated[str, msgspec.Meta(pattern=_MOMENT)], datetime.fromisoformat)
    if origin is Annotated:
        return _kind(arguments[0], arguments[1:])
    if origin in (Union, UnionType):
        return _union([_kind(argument) for argument in arguments])
    if origin is list:
        item = _kind(arguments[0])
        return _Kind(list[item.decoded], _of_each(item.make))  # type: ignore[name-defined]
    if origin is dict:
        name, value = map(_kind, arguments)
        if value.make is None:
            decoded = dict[name.decoded, value.decoded]  # type: ignore[name-defined]
            return _Kind(decoded, _of_each_name(name.make))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _Kind(*_model(annotation))
    raise TypeError(f"{annotation} cannot be read quickly")


def _union(kinds: Sequence[_Kind]) -> _Kind:
    makes = [kind.make for kind in kinds if kind.make is not None]
    if makes and len([kind for kind in kinds if kind.decoded is not NoneType]) > 1:
        raise TypeError(f"{kinds} cannot be told apart by what was decoded")
    return _Kind(reduce(or_, (kind.decoded for kind in kinds)), _in_turn(makes))


def _of_each(make: _Make | None) -> _Make | None:
    return None if make is None else lambda values: [make(value) for value in values]


def _of_each_name(make: _Make | None) -> _Make | None:
    if make in (None, _unpadded):
        return None if make is None else _unpadded_names
    raise TypeError(f"names cannot be read quickly by {make}")


def _in_turn(makes: Iterable[_Make | None]) -> _Make | None:
    some = [make for make in makes if make is not None]
    if len(some) < 2:
        return some[0] if some else None
    first, *others = some
    second = _in_turn(others)
    assert second is not None
    return lambda value: second(first(value))


def _one_by_one(rules: Iterable[Any]) -> Iterator[Any]:
    for rule in rules:
        if isinstance(rule, FieldInfo):
            yield from rule.metadata
        else:
            yield rule


def _rule(rule: Any) -> tuple[dict[str, Any], _Make | None]:
    """Return what a rule is to the decoder, and what it leaves to do."""
    match rule:
        case Ge(ge=limit):
            return {"ge": limit}, None
        case Gt(gt=limit):
            return {}, _above(limit)  # The decoder takes no other limit beside this one.
        case Le(le=limit):
            return {"le": limit}, None
        case MinLen(min_length=limit):
            return {"min_length": limit}, None
        case MaxLen(max_length=limit):
            return {"max_length": limit}, None
        case AllowInfNan(allow_inf_nan=False):
            return {}, None  # The decoder takes no other numbers.
        case StringConstraints():
            return _string_rule(rule)
        case AfterValidator(func=FitsAKey(most_bytes=limit)):
            return {"max_length": limit // _MOST_BYTES_OF_A_CHARACTER}, None
        case AfterValidator():
            # One that wants to know more than the value would fail on the first report.
            make: Any = rule.func
            return {}, None if make in _ALWAYS_KEPT else make
    raise TypeError(f"{rule} is not known to the quick reader")


_ALWAYS_KEPT = (without_nul, finite_by_name, finite_in_order)
"""By what the decoder reads: see `may_hold_nul`, and `AllowInfNan` above."""


def _string_rule(rule: StringConstraints) -> tuple[dict[str, Any], _Make | None]:
    given = {name: value for name, value in vars(rule).items() if value is not None}
    make = _unpadded if given.pop("strip_whitespace", False) else None
    if "pattern" in given:
        # Python's $ is before a newline at the end, too.
        given["pattern"] = given["pattern"].removesuffix("$") + r"\Z"
    return given, make  # What the decoder does not know of these, it refuses by name.


def _unpadded(text: str) -> str:
    if text.strip() != text:
        raise ValueError("would lose its spaces")
    return text


def _unpadded_names(by_name: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in by_name:
        if name.strip() != name:  # Not by a call: there are more names than all else.
            raise ValueError("would lose its spaces")
    return by_name


def _above(limit: Any) -> _Make:
    def checked(value: float) -> float:
        if value <= limit:
            raise ValueError(f"is not above {limit}")
        return value

    return checked


@cache
def _model(shape: type[BaseModel]) -> _ModelKind:
    decorators = shape.__pydantic_decorators__
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    makes: list[tuple[str, _Make]] = []
    for name, info in shape.model_fields.items():
        kind = _kind(info.annotation, info.metadata)
        validators = [
            validator.func
            for validator in decorators.field_validators.values()
            if name in validator.info.fields
        ]
        if (make := _in_turn([kind.make, *validators])) is not None:
            makes.append((name, make))
        fields.append(
            (name, kind.decoded) if info.is_required() else (name, kind.decoded, info.default)
        )
    methods = {
        name: member
        for base in reversed(shape.__mro__)
        if issubclass(base, BaseModel) and base is not BaseModel
        for name, member in vars(base).items()
        if isinstance(member, FunctionType | property) and not name.startswith("__")
    }
    struct = msgspec.defstruct(
        shape.__name__,
        fields,
        namespace=methods,
        kw_only=True,
        forbid_unknown_fields=True,
        gc=False,  # No report holds itself: nobody needs to look for that.
    )
    checks = [validator.func for validator in decorators.model_validators.values()]

    def make_all(read: msgspec.Struct) -> msgspec.Struct:
        for name, make in makes:
            value = getattr(read, name)
            if value is not None:
                made = make(value)
                if made is not value:
                    setattr(read, name, made)
        for check in checks:
            check(read)
        return read

    return _ModelKind(struct, make_all)
