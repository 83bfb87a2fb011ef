"""`python -m ui [--host HOST] [--port PORT]`: start the dashboard in this process."""

import argparse
import os
import socket
import sys
from pathlib import Path

from carbon import settings
from carbon.errors import CarbonError
from carbon.processes import require
from carbon.settings import DEFAULT_UI_PORT

DEFAULT_HOST = "127.0.0.1"

OPTIONS: dict[str, str | int | bool] = {
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",
    "client.showErrorLinks": False,
    "client.showSidebarNavigation": False,
    "client.toolbarMode": "minimal",
    "logger.enableRich": False,
    "logger.hideWelcomeMessage": True,
    "server.fileWatcherType": "none",
    "server.headless": True,
    "theme.baseFontSize": 16,
    "theme.baseRadius": "10px",
    "theme.headingFontWeights": "[650, 600, 600, 600, 600, 600]",
    "theme.headingFontSizes": '["2rem", "1.35rem", "1.1rem", "1rem", "1rem", "1rem"]',
    "theme.linkUnderline": False,
    "theme.light.primaryColor": "#00745A",
    "theme.light.backgroundColor": "#FCFCFB",
    "theme.light.secondaryBackgroundColor": "#F2F4F3",
    "theme.light.textColor": "#1B2321",
    "theme.light.linkColor": "#00745A",
    "theme.light.borderColor": "#E1E5E3",
    "theme.dark.primaryColor": "#1F8263",
    "theme.dark.backgroundColor": "#101514",
    "theme.dark.secondaryBackgroundColor": "#19201E",
    "theme.dark.textColor": "#E6ECEA",
    "theme.dark.linkColor": "#5BD3AE",
    "theme.dark.borderColor": "#2A3331",
}


def main() -> None:
    """Check that the settings and the address can be used, then become Streamlit's server."""
    parser = argparse.ArgumentParser(prog="python -m ui", description="Show the carbon ledger.")
    parser.add_argument("--host", default=DEFAULT_HOST)
    parser.add_argument("--port", type=int, default=DEFAULT_UI_PORT)
    arguments = parser.parse_args()
    try:
        require("dashboard", "streamlit", "altair", "pandas")
        api_url = settings.load().base_url
        _check_address(arguments.host, arguments.port)
    except (CarbonError, OSError) as error:
        sys.exit(f"carbon ui: {error}")
    sys.stdout.write(f"Dashboard: {_url(arguments.host, arguments.port)} (reads {api_url})\n")
    sys.stdout.flush()
    options = OPTIONS | {
        "server.address": arguments.host,
        "server.port": arguments.port,
    }
    flags = [f"--{name}={_as_flag(value)}" for name, value in options.items()]
    app = str(Path(__file__).with_name("app.py"))
    # Streamlit takes this process over, so a signal to it reaches the server itself.
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", app, *flags])


def _check_address(host: str, port: int) -> None:
    """Raise OSError, in words, where the address cannot be listened on."""
    try:
        if not 0 < port < 65_536:  # getaddrinfo would take it modulo 65,536.
            raise OverflowError("a port is a number from 1 to 65535")
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OSError(
            f"cannot listen on {host}:{port} ({reason}); choose another by --host and --port"
        ) from error


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _as_flag(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    main()
