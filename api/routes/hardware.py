"""`/v1/hardware`: what making accelerators and hosts emitted."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from api import hardware
from api.auth import Actor, AdministeringAll, Reading
from api.bodies import TermsBody, described, parsed
from api.db import Database, writing
from api.etags import as_json
from api.formats import FORMS, as_file, chosen
from api.no_query import NO_QUERY
from api.problems import ProblemError, cut
from api.routes.pages import FormQuery
from carbon.schema import Hardware, HardwareKind, HardwareList, HardwareTerms, Name

router = APIRouter(prefix="/hardware", tags=["hardware"])

HardwareName = Annotated[
    Name,
    Path(description="Model of the accelerator as its driver calls it, or name of the host."),
]


@router.get("", response_model=HardwareList, responses=FORMS)
def list_hardware(
    request: Request, access: Reading, database: Database, query: Annotated[FormQuery, Query()]
) -> Response:
    """List the hardware whose embodied emissions are known, by kind and name.

    With a key of some projects it is what runs of these used.
    """
    form = chosen(request, query.format)
    with database.begin() as connection:
        items = hardware.every(connection, access)
    if form != "json":
        return as_file(form, Hardware, ("kind", "name"), items, "hardware")
    return as_json(HardwareList(items=items).model_dump_json().encode())


@router.put(
    "/{kind}/{name:project}",
    dependencies=[NO_QUERY],
    openapi_extra=described(HardwareTerms),
    responses={201: {"model": Hardware, "description": "Nothing was known of it."}},
)
def put_hardware(
    response: Response,
    _: AdministeringAll,
    kind: HardwareKind,
    name: HardwareName,
    body: TermsBody,
    database: Database,
    actor: Actor,
) -> Hardware:
    """Set what making a model of accelerator, or one host, emitted, and how long it will last."""
    terms = parsed(body, HardwareTerms, "hardware")
    with writing(database) as connection:
        if hardware.put(connection, kind, name, terms, actor):
            response.status_code = 201
    return Hardware(kind=kind, name=name, **terms.model_dump())


@router.get("/{kind}/{name:project}", dependencies=[NO_QUERY])
def get_hardware(
    access: Reading, kind: HardwareKind, name: HardwareName, database: Database
) -> Hardware:
    """Read what is known of a model of accelerator or of a host, in whatever case."""
    with database.begin() as connection:
        found = hardware.find(connection, access, kind, name)
    if found is None:
        raise _unknown(kind, name)
    return found


@router.delete("/{kind}/{name:project}", status_code=204, dependencies=[NO_QUERY])
def delete_hardware(
    _: AdministeringAll,
    kind: HardwareKind,
    name: HardwareName,
    database: Database,
    actor: Actor,
) -> None:
    """Forget what was known of a model of accelerator or of a host."""
    with writing(database) as connection:
        if not hardware.remove(connection, kind, name, actor):
            raise _unknown(kind, name)


def _unknown(kind: str, name: str) -> ProblemError:
    return ProblemError(
        404, f"nothing is known of the {kind} {cut(name)!r}; see /v1/hardware for what is"
    )
