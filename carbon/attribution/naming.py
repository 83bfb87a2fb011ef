"""Which run a process is part of."""

import threading
from collections.abc import Callable, Mapping
from uuid import UUID

from carbon.attribution.agreement import agree
from carbon.attribution.launcher_process import launch_day_ms, launcher_process
from carbon.attribution.run_id import given_run_id, new_run_id, shared_run_id
from carbon.attribution.topology import Topology
from carbon.schema import RunSpec

RunKey = tuple[str | int | None, ...]

_ordinals: dict[RunKey, int] = {}
_ordinals_lock = threading.Lock()


def name_run(
    spec: RunSpec, place: Topology, environ: Mapping[str, str]
) -> tuple[UUID, Callable[[], UUID] | None]:
    """Return the run's id, and what finds the one that stands where the nodes have to agree on it.

    CARBON_RUN_ID gives it. Without that it is random for a process alone and the same in every
    process of a launch, which enter the same runs in the same order. Where the launch has a name
    that all nodes know, or that a restart keeps, it follows from that. Elsewhere the processes of a
    node have the launcher's process in common, and several nodes ask the store that their training
    uses, which takes a moment.

    Raises:
        SettingsError: CARBON_RUN_ID is no UUID of version 7.
    """
    given = given_run_id(environ)
    if given is not None:
        return given, None
    if not place.is_launched:
        return new_run_id(), None
    key = _run_key(spec)
    if place.has_lasting_id or (place.n_nodes > 1 and place.has_shared_id):
        name = repr((place.launcher, place.launch_id, key))
        return shared_run_id(launch_day_ms(place), name), None
    parent = launcher_process(place)
    launch = (place.hostname, parent.identity, place.launcher, place.launch_id)
    run_id = shared_run_id(parent.started_at_ms, repr((launch, key)))
    if place.n_nodes == 1:
        return run_id, None
    return run_id, lambda: agree(repr(key), run_id, environ) or run_id


def _run_key(spec: RunSpec) -> RunKey:
    """Tell a run from the others of its launch."""
    with _ordinals_lock:
        what = (spec.project, spec.study, spec.name)
        ordinal = _ordinals[what] = _ordinals.get(what, -1) + 1
    return (*what, ordinal)
