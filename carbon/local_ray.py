"""A Ray of one's own: on this machine alone, closed to others, gone with the process that began it.

Where RAY_ADDRESS names a cluster that is there already, that one is joined instead, as it is.
"""

import logging
import os
import secrets
import sys
from typing import Any

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Work in it is measured beside that of other launchers: at Ray's own 15, whatever else the
    # machine does starves it.
    "RAY_worker_niceness": "0",
    # Whom Ray Train asks for the state of its actors. Not told, it looks for a dashboard, which is
    # not started here, for 40 seconds, and a training waits for that to end.
    "RAY_API_SERVER_ADDRESS": "http://127.0.0.1:9",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # Nobody takes this machine away.
}
"""Variables that Ray reads; what the user has set wins."""

OBJECT_STORE_BYTES = 80 << 20
"""Hardly anything goes through Ray's memory; a container's /dev/shm is often 64 MiB."""


def address() -> str | None:
    """Return where the cluster is that is to be joined, None where one is to be started."""
    return os.environ.get("RAY_ADDRESS") or None


def settle() -> None:
    """Set what Ray reads from the environment; to be called before Ray is imported."""
    if address():
        return
    # Ray runs whatever it is sent, so it is given a secret. It would write one of its own into the
    # home directory and say so. It reads where it is imported whether there is one.
    if "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


def start_or_join(n_cpus: int, **arguments: Any) -> None:
    """Start a Ray with `n_cpus` cores, whatever the machine has, or join the one at RAY_ADDRESS.

    Args:
        arguments: more of those of `ray.init`, which also tells what it raises.
    """
    import ray

    if not address():
        arguments |= {
            "address": "local",
            "num_cpus": n_cpus,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
            "_node_ip_address": "127.0.0.1",  # Also where a machine has no network.
        }
    ray.init(logging_level=logging.ERROR, log_to_driver=False, **arguments)
