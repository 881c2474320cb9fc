"""Objects found tile by tile are those of the whole image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from dl4fiji.prediction import detection
from dl4fiji.prediction.detection import Candidates, Detector, ReachError, read_candidates
from dl4fiji.prediction.shapes import Polygons
from dl4fiji.prediction.tiling import plan
from dl4fiji.progress import SilentProgress
from object_scenes import Scene, nuclei_2d, nuclei_3d


def _tiled(scene: Scene, core: Sequence[int], overlap: float, detector: Detector) -> Candidates:
    for tile in plan(scene.shape, core, (1,) * len(core), (0,) * len(core)):
        detector.add(tile.write, scene.output[tile.write])
    return detector.objects()


def _detector(scene: Scene, overlap: float = 0.4, progress: SilentProgress | None = None) -> Detector:
    return Detector(scene.shapes, scene.shape, scene.grid, scene.threshold, overlap, progress=progress)


@pytest.mark.parametrize("core", [(32, 50), (64, 203), (250, 203)])
@pytest.mark.parametrize("overlap", [0.05, 0.4])
def test_planes_have_the_objects_of_the_whole(
    core: tuple[int, int], overlap: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with 5 % of overlap, where nearly all candidates of a crowd hang together."""
    monkeypatch.setattr(detection, "BATCH_BYTES", 0)
    scene = nuclei_2d()
    points, prob, dist = scene.whole(overlap)
    found = _tiled(scene, core, overlap, _detector(scene, overlap))
    assert len(found) == len(points) > 20
    for ours, theirs in ((found.points, points), (found.prob, prob), (found.dist, dist)):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("core", [(15, 30, 21), (29, 20, 53), (29, 56, 53)])
def test_volumes_have_the_objects_of_the_whole(core: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "BATCH_BYTES", 0)
    scene = nuclei_3d()
    points, prob, _ = scene.whole(0.4)
    found = _tiled(scene, core, 0.4, _detector(scene))
    assert len(found) == len(points) > 10
    np.testing.assert_array_equal(found.points, points)
    np.testing.assert_array_equal(found.prob, prob)


def test_what_waits_does_not_grow_with_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates wait near the tiles to come alone, here in an image of 1250 rows."""
    monkeypatch.setattr(detection, "BATCH_BYTES", 0)
    scene = nuclei_2d()
    output = np.concatenate([scene.output] * 5)
    shape = output.shape[:2]
    detector = Detector(scene.shapes, shape, scene.grid, scene.threshold, 0.4)
    waiting, total = [], 0
    for tile in plan(shape, (50, 203), (1, 1), (0, 0)):
        detector.add(tile.write, output[tile.write])
        total += len(read_candidates(output[tile.write], tile.write, shape, scene.grid, scene.threshold))
        waiting.append(len(detector._waiting))
    assert max(waiting[:8]) > 0.7 * max(waiting)
    assert max(waiting) < 0.2 * total
    assert len(detector.objects()) > 4 * len(scene.whole(0.4)[0])


def test_candidates_are_on_the_grid_and_off_the_border() -> None:
    scene = nuclei_2d()
    whole = read_candidates(scene.output, (slice(0, 250), slice(0, 203)), scene.shape, scene.grid, 0.0)
    assert (whole.points % 2 == 0).all()
    np.testing.assert_array_equal(whole.points.min(axis=0), [4, 4])
    np.testing.assert_array_equal(whole.points.max(axis=0), [244, 198])  # of 125 and 102 places, 2 left at the end
    window = (slice(33, 80), slice(61, 120))
    part = read_candidates(scene.output[window], window, scene.shape, scene.grid, 0.0)
    inside = ((whole.points >= [33, 61]) & (whole.points < [80, 120])).all(axis=1)
    np.testing.assert_array_equal(part.points, whole.points[inside])
    np.testing.assert_array_equal(part.dist, whole.dist[inside])


def _blobs(blobs: dict[tuple[int, int], tuple[float, float]], shape: tuple[int, int]) -> np.ndarray:
    """Return an output with a candidate of (probability, radius) at each place."""
    output = np.zeros((*shape, 1 + 16), np.float32)
    for place, (probability, radius) in blobs.items():
        output[place] = [probability, *[radius] * 16]
    return output


def test_an_object_larger_than_thought_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small object was settled when a large and more probable one turns up that covers it."""
    monkeypatch.setattr(detection, "BATCH_BYTES", 0)
    output = _blobs({(20, 20): (0.8, 6.0), (360, 20): (0.9, 345.0)}, (800, 40))
    tiles = plan(output.shape[:2], (100, 40), (1, 1), (0, 0))

    def run(reach: np.ndarray | None) -> Candidates:
        detector = Detector(Polygons(16), output.shape[:2], (1, 1), 0.5, 0.4, reach)
        for tile in tiles:
            detector.add(tile.write, output[tile.write])
        return detector.objects()

    with pytest.raises(ReachError) as raised:
        run(None)
    assert 345 <= raised.value.reach[0] <= 350
    np.testing.assert_array_equal(run(raised.value.reach).points, [[360, 20]])


def test_a_large_object_that_covers_nothing_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "BATCH_BYTES", 0)
    output = _blobs({(20, 20): (0.95, 6.0), (360, 20): (0.9, 300.0)}, (800, 40))
    detector = Detector(Polygons(16), output.shape[:2], (1, 1), 0.5, 0.4)
    for tile in plan(output.shape[:2], (100, 40), (1, 1), (0, 0)):
        detector.add(tile.write, output[tile.write])
    np.testing.assert_array_equal(detector.objects().points, [[20, 20], [360, 20]])


def test_a_crowd_too_large_is_settled_in_parts_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "BATCH_BYTES", 0)
    monkeypatch.setattr(detection, "WAITING_LIMIT", 0)
    scene, progress = nuclei_2d(), SilentProgress()
    found = _tiled(scene, (32, 32), 0.05, _detector(scene, 0.05, progress))
    assert len(progress.warnings) == 1
    assert "So many candidates" in progress.warnings[0]
    points = {tuple(point) for point in scene.whole(0.05)[0]}
    assert len(points & {tuple(point) for point in found.points}) > 0.9 * len(points)


def test_no_candidates_are_no_objects() -> None:
    detector = Detector(Polygons(16), (64, 64), (2, 2), 0.5, 0.4)
    detector.add((slice(0, 64), slice(0, 64)), np.zeros((64, 64, 17), np.float32))
    assert len(detector.objects()) == 0
