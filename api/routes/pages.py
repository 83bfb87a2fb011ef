"""Which part of a list a request asks for, and in which form."""

from typing import Annotated

from pydantic import BaseModel, Field

from api.formats import Format

PAGE_LENGTH = 100
"""Of a list whose length was not asked for."""

Cursor = Annotated[str | None, Field(description="`next_cursor` of the page before.")]


class FormQuery(BaseModel, extra="forbid"):
    """In which form it is asked for."""

    format: Format = None


class LinesQuery(FormQuery):
    """Which part of a list is asked for, and in which form."""

    limit: Annotated[
        int | None,
        Field(ge=1, le=1000, description="Of a page 100 by default, of a file all lines."),
    ] = None
    cursor: Cursor = None
