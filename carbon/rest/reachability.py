"""Whether anybody listens where the API should be, found out at next to no cost."""

from urllib.parse import urlsplit

from carbon.errors import ApiUnreachableError
from carbon.settings import Settings

_PORTS = {"http": 80, "https": 443}


def check(settings: Settings, timeout_s: float) -> None:
    """Connect to the API's address and hang up.

    Raises:
        ApiUnreachableError: nobody listens there, or the address is not known.
    """
    import socket  # Takes milliseconds to load, which a training's thread should not.

    address = urlsplit(settings.base_url)
    port = address.port or _PORTS[address.scheme]
    try:
        socket.create_connection((address.hostname or "", port), timeout_s).close()
    except OSError as error:
        raise ApiUnreachableError(
            f"the API at {settings.base_url} does not answer ({error})"
        ) from error
