"""Decoders of JSON (by msgspec) that know the rules of a wire model, made of the model itself.

Whatever one of them takes, pydantic takes, and reads the same; of the rest nothing is said.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, reduce
from operator import or_
from types import FunctionType, NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin
from uuid import UUID

import msgspec
from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from pydantic import (
    AfterValidator,
    AllowInfNan,
    AwareDatetime,
    BaseModel,
    FailFast,
    StringConstraints,
)
from pydantic.fields import FieldInfo

from carbon.schema.fields import FitsAKey, OneOf, finite_by_name, finite_in_order, without_nul

_Make = Callable[[Any], Any]

# More digits of a second than six are dropped by one reader and rounded by another.
_MOMENT = r"(?a)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:[0-5]\d)\Z"

_MOST_BYTES_OF_A_CHARACTER = 4  # in UTF-8


def decoder_of(shape: type[BaseModel]) -> tuple[Callable[[Any], Any], _Make]:
    """Return what decodes a model's JSON, and what checks that further and finishes it.

    JSON in which a string has a NUL must not be given to it. Both raise ValueError, or one of
    msgspec's errors, for what pydantic is to be asked about.

    Raises:
        TypeError: the model has a rule that is not known here.
    """
    kind = _model(shape)
    assert kind.make is not None
    return msgspec.json.Decoder(kind.decoded).decode, kind.make


class _Kind(NamedTuple):
    """How values of a type are read."""

    decoded: Any
    """The type that the decoder makes of them."""
    make: _Make | None = None
    """What makes of such a value, if it is not None, what pydantic would, or raises ValueError;
    None where there is nothing to do."""


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
        return _model(annotation)
    raise TypeError(f"{annotation} cannot be decoded")


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
    raise TypeError(f"names cannot be decoded by {make}")


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
        case FailFast() | OneOf():
            return {}, None  # They change what is said of an error.
        case StringConstraints():
            return _string_rule(rule)
        case AfterValidator(func=FitsAKey(most_bytes=limit)):
            return {"max_length": limit // _MOST_BYTES_OF_A_CHARACTER}, None
        case AfterValidator():
            # One that wants to know more than the value would fail on the first report.
            make: Any = rule.func
            return {}, None if make in _ALWAYS_KEPT else make
    raise TypeError(f"{rule} is not known here")


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
def _model(shape: type[BaseModel]) -> _Kind:
    _require_known_rules(shape)
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
    struct = msgspec.defstruct(
        shape.__name__,
        fields,
        namespace=_methods(shape),
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

    return _Kind(struct, make_all)


def _methods(shape: type[BaseModel]) -> dict[str, Any]:
    return {
        name: member
        for base in reversed(shape.__mro__)
        if issubclass(base, BaseModel) and base is not BaseModel
        for name, member in vars(base).items()
        if isinstance(member, FunctionType | property) and not name.startswith("__")
    }


def _require_known_rules(shape: type[BaseModel]) -> None:
    """Raise TypeError for what a model may have and none of `carbon.schema` does."""
    decorators = shape.__pydantic_decorators__
    of_fields, of_model = decorators.field_validators, decorators.model_validators
    unknown = [
        *(name for name, validator in of_fields.items() if validator.info.mode != "after"),
        *(name for name, validator in of_model.items() if validator.info.mode != "after"),
        *decorators.validators,
        *decorators.root_validators,
        *(
            name
            for name, info in shape.model_fields.items()
            if info.validation_alias or info.default_factory
        ),
        *(name for name in shape.model_config if name not in ("extra", "frozen", "defer_build")),
    ]
    if unknown or shape.model_config.get("extra") != "forbid":
        raise TypeError(f"{shape.__name__} cannot be decoded: {unknown or 'it takes other fields'}")
