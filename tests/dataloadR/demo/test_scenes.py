"""The synthetic scenes: labels that are right, folders that are whole."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely

from dataloadR.demo import scenes as demo_scenes
from dataloadR.demo.plan import EMPTY_SCENES, visible_share
from dataloadR.demo.scenes import DEMO_CLASSES, Scene, make_scene, write_demo_scenes
from utils.errors import UserError

SIZE = (320, 320)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene(np.random.default_rng([7, number]), SIZE) for number in range(24)]


def every_quad(scenes: list[Scene]) -> np.ndarray:
    return np.concatenate([scene.quads for scene in scenes])


def test_scene_depends_on_the_generator_alone() -> None:
    first, again, other = (make_scene(np.random.default_rng(seed), SIZE) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.image, other.image)


def test_scene_types_and_classes(scenes: list[Scene]) -> None:
    assert tuple(sorted(DEMO_CLASSES)) == DEMO_CLASSES
    for scene in scenes:
        count = len(scene.labels)
        assert scene.image.shape == (*SIZE, 3)
        assert scene.image.dtype == np.uint8
        assert scene.quads.shape == (count, 4, 2)
        assert scene.difficult.shape == (count,)
    labels = np.concatenate([scene.labels for scene in scenes])
    assert set(labels.tolist()) == set(range(len(DEMO_CLASSES)))
    assert {len(scene.labels) for scene in scenes} <= {0, *range(4, 13)}


def test_quads_are_convex_and_clockwise(scenes: list[Scene]) -> None:
    quads = every_quad(scenes)
    edges = np.roll(quads, -1, axis=1) - quads
    following = np.roll(edges, -1, axis=1)
    turns = edges[..., 0] * following[..., 1] - edges[..., 1] * following[..., 0]
    assert (turns > 0).all()  # y points down: a positive turn is clockwise on screen


def test_courts_are_no_rectangles(scenes: list[Scene]) -> None:
    labels = np.concatenate([scene.labels for scene in scenes])
    shapes = shapely.polygons(every_quad(scenes)[labels == DEMO_CLASSES.index("court")])
    fill = shapely.area(shapes) / shapely.area(shapely.oriented_envelope(shapes))
    assert (fill < 0.95).all()


def test_difficult_follows_the_visible_share_and_the_size(scenes: list[Scene]) -> None:
    picture = shapely.box(0, 0, SIZE[1], SIZE[0])
    for scene in scenes:
        shapes = shapely.polygons(scene.quads)
        share = shapely.area(shapely.intersection(shapes, picture)) / shapely.area(shapes)
        sides = np.linalg.norm(np.roll(scene.quads, -1, axis=1) - scene.quads, axis=2)
        assert (share >= 0.1 - 1e-3).all()
        assert ((share < 0.7) == (scene.difficult == 2)).all()
        assert ((sides.min(axis=1) < 5) == (scene.difficult == 1)).all()


def test_objects_hardly_overlap(scenes: list[Scene]) -> None:
    for scene in scenes:
        shapes = shapely.polygons(scene.quads)
        overlap = shapely.area(shapely.intersection(shapes[:, None], shapes[None, :]))
        np.fill_diagonal(overlap, 0)
        assert (overlap <= 0.1 * shapely.area(shapes)[:, None]).all()


def test_scenes_without_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataloadR.demo.plan.EMPTY_SCENES", 1.0)
    scene = make_scene(np.random.default_rng(0), (96, 128))
    assert scene.image.shape == (96, 128, 3)
    assert scene.quads.shape == (0, 4, 2)
    assert demo_scenes.dota_text(scene).count("\n") == 2


def test_some_scenes_are_empty() -> None:
    seed = next(s for s in range(1000) if np.random.default_rng(s).random() < EMPTY_SCENES)
    assert len(make_scene(np.random.default_rng(seed), SIZE).labels) == 0


@pytest.mark.parametrize(("x", "share"), [(0.0, 1.0), (-5.0, 0.5), (-20.0, 0.0)])
def test_visible_share(x: float, share: float) -> None:
    quad = np.array([[x, 10], [x + 10, 10], [x + 10, 20], [x, 20]])
    assert visible_share(quad, SIZE) == pytest.approx(share)


def test_folder_is_dota_and_complete(tmp_path: Path) -> None:
    root = write_demo_scenes(tmp_path / "demo", seed=1, train=3, val=2, size=(128, 160))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["demo"]
    for split, number, count in (("train", 0, 3), ("val", 1, 2)):
        images = sorted((root / split / "images").iterdir())
        texts = sorted((root / split / "labelTxt").iterdir())
        assert [p.stem for p in images] == [p.stem for p in texts]
        assert len(images) == count
        for index, (image_path, text_path) in enumerate(zip(images, texts, strict=True)):
            scene = make_scene(np.random.default_rng([1, number, index]), (128, 160))
            image = cv2.imread(str(image_path))[..., ::-1]
            np.testing.assert_allclose(image.mean((0, 1)), scene.image.mean((0, 1)), atol=1)
            assert np.abs(image.astype(float) - scene.image).mean() < 6  # colours are stored at half size
            lines = text_path.read_text().splitlines()[2:]
            rows = [line.split() for line in lines]
            quads = np.array([row[:8] for row in rows], float).reshape(-1, 4, 2)
            np.testing.assert_allclose(quads, scene.quads, atol=0.0051)
            assert [DEMO_CLASSES.index(row[8]) for row in rows] == scene.labels.tolist()
            assert [int(row[9]) for row in rows] == scene.difficult.tolist()


def state(root: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in root.rglob("*") if p.is_file()}


def test_second_run_does_nothing_and_other_settings_do(tmp_path: Path) -> None:
    root = write_demo_scenes(tmp_path / "demo", train=2, val=1, size=(64, 64))
    before = state(root)
    write_demo_scenes(root, train=2, val=1, size=(64, 64))
    assert state(root) == before
    write_demo_scenes(root, train=1, val=1, size=(64, 64))
    assert len(list((root / "train" / "images").iterdir())) == 1


def test_interruption_leaves_no_half_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: Scene) -> str:
        raise KeyboardInterrupt

    root = tmp_path / "demo"
    with monkeypatch.context() as patch:
        patch.setattr(demo_scenes, "dota_text", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_demo_scenes(root, train=1, val=1, size=(64, 64))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "demo.tmp" / "train").mkdir(parents=True)  # what a killed process leaves
    write_demo_scenes(root, train=1, val=1, size=(64, 64))
    assert [p.name for p in tmp_path.iterdir()] == ["demo"]


def test_files_of_others_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("data")
    with pytest.raises(UserError, match=r"scenes\.json"):
        write_demo_scenes(tmp_path, train=1, val=0, size=(64, 64))
    assert (tmp_path / "mine.txt").read_text() == "data"
    write_demo_scenes(tmp_path / "demo", train=1, val=0, size=(64, 64))
    (tmp_path / "demo/scenes.json").write_bytes(b"\xff\xfe")  # damaged: made again
    write_demo_scenes(tmp_path / "demo", train=1, val=0, size=(64, 64))
    assert b"version" in (tmp_path / "demo/scenes.json").read_bytes()
