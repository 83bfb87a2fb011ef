"""What every measurement is given: the tools that there are, their environments, how thorough."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.environments import Environment
from benchmarks.tools import Tool


@dataclass
class Bench:
    """A bench, set up.

    Attributes:
        tools: those to compare, in the order of the columns.
        environments: of each tool, by name.
        library: the stand-in for NVIDIA's library.
        folder: for files that are not kept.
        is_quick: whether few rounds are enough, to see that everything works.
        problems: what could not be measured, to be kept with the results.
    """

    tools: tuple[Tool, ...]
    environments: dict[str, Environment]
    library: Path
    folder: Path
    is_quick: bool
    problems: list[str] = field(default_factory=list)

    def rounds(self, thorough: int, quick: int = 2) -> int:
        """Return how often to measure."""
        return quick if self.is_quick else thorough

    def environment(self, tool: Tool) -> Environment:
        """Return the tool's environment."""
        return self.environments[tool.name]

    def say(self, what: str) -> None:
        """Tell whoever waits what is being done."""
        print(what, file=sys.stderr, flush=True)

    def failed(self, section: str, tool: Tool, error: Exception) -> None:
        """Keep what went wrong; a tool that fails has no figure and stops no other."""
        problem = f"{section}: {tool.name}: {error}"
        if problem not in self.problems:
            self.problems.append(problem)
            self.say(problem)
