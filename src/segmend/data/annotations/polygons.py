"""Masks as polygons and polygons as masks: borders between objects stay shared, holes and parts are kept.

Coordinates are pixels, x to the right and y down; pixel (x, y) covers the square from (x, y) to (x + 1, y + 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segmend.labels import InvalidInput

if TYPE_CHECKING:
    from shapely import LinearRing, MultiPolygon, Polygon

Ring = np.ndarray
"""Corners ``float64 [K, 2]`` as x, y; the last one is joined to the first."""

SMALL = 4.0
"""Sides of a square, in tolerances, below whose area an outline may become too thin to cover a pixel."""

RIGHT_ANGLED_IOU = 0.8
"""IoU with the outline as it is below which an outline with right angles is not taken."""


@dataclass(frozen=True)
class OutlineOptions:
    """How masks become polygons.

    Attributes:
        tolerance: roughly the size in pixels of what is left out of borders: triangles with an area below its
            square go (Visvalingam and Whyatt). 0 keeps each step between pixels, and with it the very mask.
        right_angles: outlines turn by right angles alone, as those of buildings; an outline that does not fit its
            mask so keeps its angles.

    Raises:
        InvalidInput: a negative tolerance.
    """

    tolerance: float = 1.0
    right_angles: bool = False

    def __post_init__(self) -> None:
        if self.tolerance < 0:
            raise InvalidInput(f"expected a tolerance of 0 pixels or more, found {self.tolerance}")


class Outline(NamedTuple):
    """The polygons of one mask.

    Attributes:
        geometry: valid; its parts do not touch along lines.
        error_px: the largest distance between its borders and those of the mask, in pixels.
    """

    geometry: MultiPolygon
    error_px: float


class Cropped(NamedTuple):
    """The part of a mask that holds its object.

    Attributes:
        part: ``bool [h, w]``, without empty rows and columns around the object.
        top, left: place of its first row and column in the image.
    """

    part: np.ndarray
    top: int
    left: int

    @classmethod
    def of(cls, mask: np.ndarray) -> Cropped:
        """The part of a mask ``bool [H, W]``; a copy, without a pixel where the mask is empty."""
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            return cls(mask[:0, :0].copy(), 0, 0)
        top, left = int(rows[0]), int(columns[0])
        return cls(mask[top : rows[-1] + 1, left : columns[-1] + 1].copy(), top, left)

    def whole(self, height: int, width: int) -> np.ndarray:
        """The mask ``bool [H, W]``."""
        found = np.zeros((height, width), bool)
        found[self.window(0, 0)] = self.part
        return found

    def window(self, top: int, left: int) -> tuple[slice, slice]:
        """Rows and columns of the part in a window that starts at a row and a column."""
        down, right = self.top - top, self.left - left
        return slice(down, down + self.part.shape[0]), slice(right, right + self.part.shape[1])


def outlines_of(masks: Sequence[Cropped], options: OutlineOptions = OutlineOptions()) -> list[Outline]:
    """The outlines of the objects of one image, which may touch and overlap each other.

    A border that several objects share is simplified once, so that neither gaps nor overlaps arise that the masks
    do not have (`OutlineOptions.right_angles` may make them).

    Returns:
        One outline for each mask, empty where a mask is.

    Example:
        >>> left, right = np.zeros((2, 4, 6), bool)
        >>> left[:, :3], right[:, 3:] = True, True
        >>> [one.geometry.area for one in outlines_of([Cropped.of(left), Cropped.of(right)])]
        [12.0, 12.0]
    """
    import shapely

    found = [Outline(shapely.MultiPolygon(), 0.0)] * len(masks)
    for group in _together(masks):
        for number, outline in zip(group, _outlines([masks[number] for number in group], options), strict=True):
            found[number] = outline
    return found


def _together(masks: Sequence[Cropped]) -> list[list[int]]:
    """Places of masks in groups whose boxes touch; empty masks are in none."""
    import shapely

    places = [number for number, one in enumerate(masks) if one.part.size]
    boxes = [
        shapely.box(one.left, one.top, one.left + one.part.shape[1], one.top + one.part.shape[0])
        for one in (masks[number] for number in places)
    ]
    areas = shapely.get_parts(shapely.union_all(boxes))
    groups: list[list[int]] = [[] for _ in areas]
    inside, area = shapely.STRtree(areas).query(shapely.centroid(boxes), predicate="intersects")
    for place, group in zip(inside.tolist(), area.tolist(), strict=True):
        groups[group].append(places[place])
    return groups


def _outlines(masks: Sequence[Cropped], options: OutlineOptions) -> list[Outline]:
    import shapely

    top, left = min(one.top for one in masks), min(one.left for one in masks)
    regions, members = _overlay(masks, top, left)
    exact, ids = _faces(regions)
    exact = shapely.transform(exact, lambda corners: corners + np.array([left, top]))
    simple = shapely.coverage_simplify(exact, options.tolerance) if options.tolerance else exact
    outlines = []
    for number in range(len(masks)):
        own = np.isin(ids, [region for region, objects in enumerate(members) if number in objects])
        before, after = shapely.coverage_union_all(exact[own]), shapely.coverage_union_all(simple[own])
        geometry = _parts(after)
        if shapely.area(before) < (SMALL * options.tolerance) ** 2 and not _paints(geometry):
            geometry = _parts(before)
        if options.right_angles:
            geometry = _right_angled(geometry, 2 * options.tolerance + 1)
        outlines.append(Outline(geometry, _distance(_parts(before), geometry)))
    return outlines


def _overlay(masks: Sequence[Cropped], top: int, left: int) -> tuple[np.ndarray, list[frozenset[int]]]:
    """Regions ``int32 [h, w]`` of pixels that lie in the same masks, and the masks of each region; 0 is none."""
    height = max(one.top + one.part.shape[0] for one in masks) - top
    width = max(one.left + one.part.shape[1] for one in masks) - left
    regions = np.zeros((height, width), np.int32)
    members: list[frozenset[int]] = [frozenset()]
    for number, mask in enumerate(masks):
        part = regions[mask.window(top, left)]
        before = part.copy()
        for region in np.unique(before[mask.part]).tolist():
            part[mask.part & (before == region)] = len(members)
            members.append(members[region] | {number})
    return regions, members


def _faces(regions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Polygons of the connected parts of regions along the edges of pixels, and the region of each."""
    import shapely

    padded = np.pad(regions, 1, constant_values=-1)
    y, x = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    upright = np.stack([x, y, x, y + 1], -1)
    y, x = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    level = np.stack([x, y, x + 1, y], -1)
    edges = np.concatenate([upright, level]).reshape(-1, 2, 2).astype(np.float64)
    faces = shapely.get_parts(shapely.polygonize(shapely.linestrings(edges)))
    inner = shapely.point_on_surface(faces)
    ids = regions[shapely.get_y(inner).astype(int), shapely.get_x(inner).astype(int)]
    return faces[ids > 0], ids[ids > 0]


def _parts(geometry: object) -> MultiPolygon:
    """The polygons in a geometry, valid."""
    import shapely

    valid = geometry if shapely.is_valid(geometry) else shapely.make_valid(geometry)
    parts = shapely.get_parts(valid)
    areas = [part for part in shapely.get_parts(parts) if part.geom_type == "Polygon" and part.area > 0]
    return shapely.MultiPolygon(areas)


def _distance(one: MultiPolygon, other: MultiPolygon) -> float:
    """The largest distance from a corner of one of two geometries to the border of the other."""
    return max(_reach(one, other), _reach(other, one))


def _paints(geometry: MultiPolygon) -> bool:
    """Whether an outline covers a pixel."""
    if geometry.is_empty:
        return False
    _, _, right, bottom = geometry.bounds
    return bool(mask_of_geometry(geometry, int(np.ceil(bottom)) + 1, int(np.ceil(right)) + 1).any())


def _reach(one: MultiPolygon, other: MultiPolygon) -> float:
    import shapely

    if shapely.is_empty(one):
        return 0.0
    if shapely.is_empty(other):
        return float("inf")
    corners, ring = shapely.get_coordinates(
        shapely.get_parts(shapely.get_rings(shapely.get_parts(other))), return_index=True
    )
    pairs = np.stack([corners[:-1], corners[1:]], 1)[ring[:-1] == ring[1:]]
    borders = shapely.STRtree(shapely.linestrings(pairs))
    points = shapely.points(shapely.get_coordinates(one))
    return float(borders.query_nearest(points, return_distance=True, all_matches=False)[1].max())


def _right_angled(geometry: MultiPolygon, shortest: float) -> MultiPolygon:
    """The geometry with right angles, in the direction of its longest edges, where it still covers the same.

    Args:
        shortest: edges below this length in pixels go.
    """
    import shapely

    found = shapely.MultiPolygon([_right_angled_part(part, shortest) for part in geometry.geoms])
    return found if found.is_valid else geometry


def _right_angled_part(part: Polygon, shortest: float) -> Polygon:
    import shapely

    direction = _direction(np.asarray(part.simplify(shortest).exterior.coords))  # steps of pixels mislead
    rings = [_squared(ring_of(ring), direction, shortest) for ring in (part.exterior, *part.interiors)]
    found = shapely.Polygon(rings[0], rings[1:])
    if not found.is_valid:
        return part
    union = shapely.union(found, part).area
    return found if shapely.intersection(found, part).area >= RIGHT_ANGLED_IOU * union else part


def _direction(corners: np.ndarray) -> float:
    """The angle, modulo a right angle, that the edges of a ring have on average by their squared length."""
    edges = np.diff(corners, axis=0)
    lengths = np.hypot(edges[:, 0], edges[:, 1])
    four = 4 * np.arctan2(edges[:, 1], edges[:, 0])
    return float(np.arctan2((lengths**2 * np.sin(four)).sum(), (lengths**2 * np.cos(four)).sum()) / 4)


def _squared(corners: Ring, direction: float, shortest: float) -> Ring:
    """A ring of edges parallel or at right angles to a direction; the ring itself where fewer than four remain.

    Neighbouring edges of one kind become one, in their mean place by their length. Then the shortest edges go, one
    after another, and those beside them become one.
    """
    turn = np.array([[np.cos(direction), -np.sin(direction)], [np.sin(direction), np.cos(direction)]])
    along = corners @ turn
    edges = np.roll(along, -1, axis=0) - along
    level = np.abs(edges[:, 0]) >= np.abs(edges[:, 1])
    starts = np.flatnonzero(level != np.roll(level, 1))
    if len(starts) < 4:
        return corners
    places, weights = [], []
    for start, end in zip(starts, [*starts[1:], starts[0] + len(corners)], strict=True):
        run = np.arange(start, end) % len(corners)
        axis = 1 if level[start] else 0
        lengths = np.abs(edges[run, 1 - axis])
        places.append(
            float(np.average((along[run, axis] + along[(run + 1) % len(corners), axis]) / 2, weights=lengths))
        )
        weights.append(float(lengths.sum()))
    is_level = bool(level[starts[0]])
    while len(places) > 4:
        lengths = np.abs(np.roll(places, -1) - np.roll(places, 1))
        at = int(lengths.argmin())
        if lengths[at] >= shortest:
            break
        before, after = (at - 1) % len(places), (at + 1) % len(places)
        places[before] = float(
            np.average([places[before], places[after]], weights=[weights[before], weights[after]])
        )
        weights[before] += weights[after]
        kept = [k for k in range(len(places)) if k not in (at, after)]
        is_level ^= kept[0] % 2 == 1
        places, weights = [places[k] for k in kept], [weights[k] for k in kept]
    kinds = [is_level ^ (k % 2 == 1) for k in range(len(places))]
    found = [
        (before, place) if kind else (place, before)
        for place, kind, before in zip(places, kinds, np.roll(places, 1), strict=True)
    ]
    return np.asarray(np.asarray(found) @ turn.T)


def mask_of_rings(rings: Sequence[Any], height: int, width: int) -> np.ndarray:
    """The mask ``bool [H, W]`` of the area in any of some rings, as pycocotools paints it.

    Args:
        rings: corners ``[K, 2]`` each, or ``[2 K]`` as x, y, x, y, ...

    Raises:
        InvalidInput: fewer than three corners, numbers that are not finite, or no pycocotools.
    """
    masks = masks_of_coco()
    try:
        flat = [np.asarray(ring, np.float64).ravel() for ring in rings]
    except (TypeError, ValueError):
        flat = []
    if not flat or any(len(ring) < 6 or len(ring) % 2 or not np.isfinite(ring).all() for ring in flat):
        raise InvalidInput("expected polygons of three corners or more, as x, y, x, y, ...")
    # Far outside, sides would cost memory by their length; a margin keeps nearly where they enter the image.
    low, high = np.array([-width, -height]), np.array([2 * width, 2 * height])
    flat = [ring.reshape(-1, 2).clip(low, high).ravel() for ring in flat]
    encoded = masks.merge(masks.frPyObjects([ring.tolist() for ring in flat], height, width))
    return np.asarray(masks.decode(encoded)).astype(bool)


def mask_of_geometry(geometry: MultiPolygon | Polygon, height: int, width: int) -> np.ndarray:
    """The mask ``bool [H, W]`` of polygons with holes."""
    import shapely

    found = np.zeros((height, width), bool)
    for part in shapely.get_parts(geometry):
        area = mask_of_rings([ring_of(part.exterior)], height, width)
        for hole in part.interiors:
            area &= ~mask_of_rings([ring_of(hole)], height, width)
        found |= area
    return found


def ring_of(line: LinearRing) -> Ring:
    """The corners of a closed line, without the last, which is the first again."""
    corners: Ring = np.asarray(line.coords, np.float64)
    return corners[:-1, :2]


def single_ring(geometry: MultiPolygon) -> Ring:
    """One ring around all parts and holes, for formats whose objects have one: bridges of no width join them.

    It paints the same mask, whether programs fill rings by the even-odd rule or by the nonzero rule.
    """
    import shapely

    rings = []
    for part in sorted(geometry.geoms, key=lambda one: -one.area):
        upright = shapely.orient_polygons(part)
        rings.extend([ring_of(upright.exterior), *(ring_of(hole) for hole in upright.interiors)])
    joined = rings[0] if rings else np.zeros((0, 2))
    for ring in rings[1:]:
        here, there = _nearest(joined, ring)
        around = np.roll(ring, -there, axis=0)
        joined = np.concatenate([joined[: here + 1], around, around[:1], joined[here:]])
    return joined


def _nearest(one: Ring, other: Ring) -> tuple[int, int]:
    """The places of the nearest corners of two rings."""
    import shapely

    line = shapely.shortest_line(shapely.multipoints(one), shapely.multipoints(other))
    here, there = np.asarray(line.coords)
    return int((one == here).all(1).argmax()), int((other == there).all(1).argmax())


def masks_of_coco() -> ModuleType:
    """The module that paints polygons, `pycocotools.mask`."""
    try:
        return import_module("pycocotools.mask")
    except ImportError as error:
        raise InvalidInput(f"annotations need a package ({error.name}): pip install 'segmend[formats]'") from None
