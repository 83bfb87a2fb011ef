"""Where to write the names of points so that none covers another name, a point or a line."""

from collections.abc import Sequence
from dataclasses import dataclass

# Source Sans at 12 px: the mean advance of a character and the height of a line, rounded up.
_CHARACTER_PX = 6.4
_LINE_PX = 15.0
_POINT_PX = 24.0  # With the ring of a point on the front.
_GAP_PX = 15.0

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels from the plot's upper left corner."""


@dataclass(frozen=True)
class Spot:
    """A point in pixels from the plot's upper left corner, and the name to write beside it."""

    x_px: float
    y_px: float
    text: str
    important: bool


@dataclass(frozen=True)
class Label:
    """Where a name goes, relative to its point."""

    dx_px: float
    dy_px: float
    align: str


_CANDIDATES = (
    Label(_GAP_PX, 0, "left"),
    Label(-_GAP_PX, 0, "right"),
    Label(0, -20, "center"),
    Label(0, 20, "center"),
    Label(_GAP_PX, -14, "left"),
    Label(-_GAP_PX, -14, "right"),
    Label(_GAP_PX, 14, "left"),
    Label(-_GAP_PX, 14, "right"),
    Label(0, -33, "center"),
    Label(0, 33, "center"),
    Label(0, -44, "center"),
    Label(0, 44, "center"),
    Label(_GAP_PX, -28, "left"),
    Label(-_GAP_PX, -28, "right"),
    Label(_GAP_PX, 28, "left"),
    Label(-_GAP_PX, 28, "right"),
)


def place_labels(
    spots: Sequence[Spot],
    lines: Sequence[Box],
    width_px: float,
    height_px: float,
    *,
    may_cross: bool = True,
) -> list[Label | None]:
    """Return a place for each name, or None where there is no free one; important names first.

    `lines` are the boxes around what is drawn beside the points. A name that finds no place clear
    of them may cross one, where that is allowed, but never a point or another name.
    """
    points = [_around(spot) for spot in spots]
    taken: list[Box] = []
    found: list[Label | None] = [None] * len(spots)
    for index in sorted(range(len(spots)), key=lambda i: (not spots[i].important, spots[i].x_px)):
        solid = [*points[:index], *points[index + 1 :], *taken]
        boxes = {candidate: _box(spots[index], candidate) for candidate in _CANDIDATES}
        free = [
            candidate
            for candidate, box in boxes.items()
            if _inside(box, width_px, height_px) and not any(_overlap(box, o) for o in solid)
        ]
        clear = [c for c in free if not any(_overlap(boxes[c], line) for line in lines)]
        places = clear or (free if may_cross else [])
        if places:
            label = places[0]
            found[index] = label
            taken.append(boxes[label])
    return found


def along(start: Spot, end: Spot, steps: int = 24) -> list[Box]:
    """Return boxes strung along the line from one point to the other."""
    boxes = []
    for step in range(steps + 1):
        x = start.x_px + (end.x_px - start.x_px) * step / steps
        y = start.y_px + (end.y_px - start.y_px) * step / steps
        boxes.append((x - 2, y - 2, x + 2, y + 2))
    return boxes


def _box(spot: Spot, label: Label) -> Box:
    width = len(spot.text) * _CHARACTER_PX
    start = {"left": 0.0, "center": -width / 2, "right": -width}[label.align]
    left, middle = spot.x_px + label.dx_px + start, spot.y_px + label.dy_px
    return left, middle - _LINE_PX / 2, left + width, middle + _LINE_PX / 2


def _around(spot: Spot) -> Box:
    half = _POINT_PX / 2
    return spot.x_px - half, spot.y_px - half, spot.x_px + half, spot.y_px + half


def _inside(box: Box, width_px: float, height_px: float) -> bool:
    return box[0] >= 0 and box[1] >= 0 and box[2] <= width_px and box[3] <= height_px


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
