"""Reading JSON as a wire model says in about half of pydantic's time, where all is well.

Of the model a decoder is made (by msgspec) that knows the same rules. It refuses nothing: what it
does not vouch for is read by pydantic, which decides and says what is wrong.
"""

from typing import Any, Generic, TypeVar

import msgspec
from msgspec.structs import asdict
from pydantic import BaseModel

from api.decoders import decoder_of

_Shape = TypeVar("_Shape", bound=BaseModel)

_NUL = rb"\u0000"
"""As JSON writes it; by itself it may not stand there."""


class QuickReader(Generic[_Shape]):
    """Reads JSON objects as one wire model says.

    Args:
        shape: the model.

    Raises:
        TypeError: it has a rule that `api.decoders` does not know.
    """

    def __init__(self, shape: type[_Shape]) -> None:
        self._decode, self._make = decoder_of(shape)

    def read(self, text: bytes) -> _Shape | None:
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
