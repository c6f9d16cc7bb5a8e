from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cfg.load import config_text
from cfg.schema import Config, DataConfig, ModelConfig
from datasets_tools.show import main
from datasets_tools.showing import MARK, choose, picture_names
from evalR.scoring.dota_results import write_task1
from modelR.build import build_model
from tests.paths import DATA
from utils.checkpoint import save_checkpoint
from utils.drawing import save_image
from utils.errors import UserError
from utils.palette import class_colour
from utils.records import Detections

QUAD = "20.5 30.5 70.5 20.5 80.5 50.5 25.5 60.5"
SMALL = "data.image_size=128"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three images: two objects, one of them hard; an empty label file; no label file."""
    folder = tmp_path / "data"
    for name in "abc":
        save_image(folder / "images" / f"{name}.png", np.full((100, 120, 3), 60, np.uint8))
    (folder / "labelTxt").mkdir()
    text = f"imagesource:x\n{QUAD} ship 0\n90 60 110 60 110 90 90 90 plane 1\n"
    (folder / "labelTxt" / "a.txt").write_text(text)
    (folder / "labelTxt" / "b.txt").write_text("")
    return folder


def read(path: Path) -> np.ndarray:
    return cv2.imread(str(path))[..., ::-1]


def files(folder: Path) -> set[str]:
    """Return the pictures, without the mark of the folder."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return found - {MARK}


def has_colour(picture: np.ndarray, x: float, y: float, label: int) -> bool:
    around = picture[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].astype(int)
    return bool(np.abs(around - np.array(class_colour(label))).max(axis=-1).min() < 90)


def test_labels_lie_where_they_are(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    main([str(root), str(out), "--processes", "2"])
    assert files(out) == {"a.png", "b.png", "c.png"}
    picture = read(out / "a.png")
    assert picture.shape[1] == 120
    for x, y in np.array(QUAD.split(), float).reshape(4, 2):
        assert has_colour(picture, x, y, 1)  # plane, ship
    for x, y in ((90, 60), (109, 60), (109, 89), (90, 89)):
        assert has_colour(picture, x, y, 0)
    for name in ("b", "c"):
        assert (read(out / f"{name}.png")[:100] == 60).all()
    assert "3 pictures from 3 images" in capsys.readouterr().out


def test_a_class_keeps_its_colour_in_another_split(tmp_path: Path) -> None:
    """The training split has planes and ships, val has ships alone, and buoys that training has not."""
    root = tmp_path / "data"
    labels = {"a": ["plane", "ship"], "b": ["ship"], "c": ["buoy", "ship"]}
    for name, kinds in labels.items():
        save_image(root / "images" / f"{name}.png", np.full((100, 120, 3), 60, np.uint8))
        (root / "labelTxt").mkdir(exist_ok=True)
        lines = [
            f"{8 + 50 * k} 60 {38 + 50 * k} 60 {38 + 50 * k} 90 {8 + 50 * k} 90 {kind} 0\n"
            for k, kind in enumerate(kinds)
        ]
        (root / "labelTxt" / f"{name}.txt").write_text("".join(lines))
    (root / "ImageSets").mkdir()
    (root / "ImageSets" / "train.txt").write_text("a\n")
    (root / "ImageSets" / "val.txt").write_text("b\nc\n")
    main([str(root), str(tmp_path / "out"), "--split", "val", "--processes", "1"])
    assert has_colour(read(tmp_path / "out" / "b.png"), 8, 60, 1)  # plane, ship, and then buoy
    assert has_colour(read(tmp_path / "out" / "c.png"), 8, 60, 2)
    assert has_colour(read(tmp_path / "out" / "c.png"), 58, 60, 1)
    (root / "ImageSets" / "train.txt").unlink()
    main([str(root), str(tmp_path / "alone"), "--split", "val", "--processes", "1"])
    assert has_colour(read(tmp_path / "alone" / "b.png"), 8, 60, 1)  # buoy, ship


def test_number_seed_and_format(root: Path, tmp_path: Path) -> None:
    shown = []
    for seed in (0, 0, 1, 2, 3):
        out = tmp_path / f"out{len(shown)}"
        main(
            [str(root), str(out), "--number", "1", "--seed", str(seed), "--format", "jpg", "--processes", "1"]
        )
        shown.append(files(out))
    assert shown[0] == shown[1]
    assert len(set(map(frozenset, shown))) > 1
    assert all(name.endswith(".jpg") for names in shown for name in names)


def test_cells_heat_and_sheet(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    main([str(root), str(out), "--cells", "--heat", "--sheet", SMALL])
    names = {f"{folder}{name}.png" for folder in ("", "cells/", "heat/") for name in "abc"}
    assert files(out) == names | {"contact_sheet.png"}
    assert read(out / "cells" / "a.png").shape == (128, 128, 3)
    assert read(out / "heat" / "a.png").shape[1] > 3 * 128
    empty, full = (read(out / "cells" / f"{name}.png").astype(int) for name in "ba")
    assert not np.ptp(empty, axis=-1).any()  # grey, as the image and the padding
    assert np.ptp(full, axis=-1).any()
    assert (read(out / "contact_sheet.png") == 60).all(axis=-1).sum() > 2 * 100 * 120


def test_augmented_samples_have_numbers(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["--augment", "--number", "7", "--cells", "--sheet", SMALL, "augment.mosaic=0.5"]
    main([str(root), str(out), *words])
    names = files(out)
    assert len(names) == 15
    numbers = sorted(int(name[-8:-4]) for name in names if "/" not in name and "sheet" not in name)
    assert numbers == list(range(7))
    assert {name[6] for name in names if name.startswith("cells/")} == set("abc")
    again = tmp_path / "again"
    main([str(root), str(again), *words])
    assert all((out / name).read_bytes() == (again / name).read_bytes() for name in names)


def test_predictions_from_result_files(root: Path, tmp_path: Path) -> None:
    quads = torch.tensor([[[20.5, 70.5], [50.5, 70.5], [50.5, 90.5], [20.5, 90.5]]]).repeat(2, 1, 1)
    quads[1, :, 1] -= 60  # above, and below the threshold
    found = Detections(quads, torch.tensor([0.9, 0.2]), torch.tensor([0, 0]))
    none = Detections(*(field[:0] for field in found))
    write_task1(tmp_path / "Task1", [found, none, none], ["a", "b", "c"], ["tower"])
    out = tmp_path / "out"
    main([str(root), str(out), "--predictions", str(tmp_path / "Task1"), "--sheet"])
    picture = read(out / "a.png")
    right = picture[:, picture.shape[1] - 120 :]
    assert has_colour(right, 20, 70, 2)  # the class of the result files comes after those of the labels
    assert has_colour(right, 50, 90, 2)
    assert not has_colour(right, 20, 10, 2)
    assert has_colour(picture, 20.5, 30.5, 1)
    (tmp_path / "Task1" / "Task1_tower.txt").write_text("elsewhere 0.9 1 1 2 1 2 2 1 2\n")
    with pytest.raises(UserError, match=r"Task1_tower.txt:1: expected an image of the list, got 'elsewhere'"):
        main([str(root), str(out), "--predictions", str(tmp_path / "Task1")])
    with pytest.raises(UserError, match=r"expected result files Task1_CLASS.txt, found none"):
        main([str(root), str(out), "--predictions", str(tmp_path / "nowhere")])


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    config = Config(data=DataConfig(image_size=128), model=ModelConfig(size="nano"))
    model = build_model(config, 2).eval()
    path = tmp_path / "best.pt"
    content = {"config": config_text(config), "classes": ["plane", "ship"], "model": model.state_dict()}
    save_checkpoint(path, content)
    return path


def test_predictions_of_a_checkpoint(root: Path, tmp_path: Path, weights: Path) -> None:
    out = tmp_path / "out"
    words = [str(root), str(out), "--weights", str(weights), "train.device=cpu"]
    main([*words, "--number", "2", "predict.score_threshold=0.0", "eval.max_detections=5"])
    assert len(files(out)) == 2
    assert all(read(out / name).shape[1] == 2 * 120 + 6 for name in files(out))
    with pytest.raises(UserError, match="expected no YAML beside --weights"):
        main([*words, "cfg/demo.yaml"])


def test_zero_objects_anywhere(root: Path, tmp_path: Path) -> None:
    (root / "labelTxt" / "a.txt").unlink()
    out = tmp_path / "out"
    main([str(root), str(out), "--cells", "--heat", "--sheet", SMALL])
    assert len(files(out)) == 10
    main([str(root), str(tmp_path / "more"), "--augment", SMALL, "--number", "2"])
    assert len(files(tmp_path / "more")) == 2


@pytest.mark.parametrize("processes", ["1", "2"])
def test_an_image_that_cannot_be_read(root: Path, tmp_path: Path, processes: str) -> None:
    (root / "images" / "b.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"b\.png: cannot be decoded"):
        main([str(root), str(tmp_path / "out"), "--processes", processes])
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name.startswith(".")]
    main([str(root), str(tmp_path / "rest"), "data.on_error=skip"])
    assert files(tmp_path / "rest") == {"a.png", "c.png"}


def test_no_image_is_ever_replaced(root: Path, tmp_path: Path) -> None:
    """Neither images of other splits, nor links to images, nor what else lies in a folder."""
    (root / "images").rename(tmp_path / "originals")
    for split in ("train", "val"):
        (root / split / "images").mkdir(parents=True)
        (root / split / "images" / "a.png").symlink_to(tmp_path / "originals" / "a.png")
    before = (tmp_path / "originals" / "a.png").read_bytes()
    for out in (root / "train" / "images", root / "val" / "images", tmp_path / "originals"):
        with pytest.raises(UserError, match=r"expected a new or empty folder, or one with the show\.txt"):
            main([str(root), str(out)])
    assert (root / "val" / "images" / "a.png").is_symlink()
    assert (tmp_path / "originals" / "a.png").read_bytes() == before


def test_the_folder_of_an_earlier_call_is_used_again(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    main([str(root), str(out)])
    first = read(out / "a.png")
    (root / "labelTxt" / "a.txt").unlink()
    main([str(root), str(out)])
    assert files(out) == {"a.png", "b.png", "c.png"}
    assert read(out / "a.png").shape != first.shape or (read(out / "a.png") != first).any()


def test_refusals(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a new or empty folder"):
        main([str(root), str(root / "images")])
    with pytest.raises(UserError, match="expected a folder for the pictures, found a file"):
        main([str(root), str(root / "labelTxt" / "a.txt")])
    with pytest.raises(UserError, match="--augment: expected no --predictions"):
        main([str(root), str(tmp_path / "out"), "--augment", "--weights", "x.pt"])
    with pytest.raises(UserError, match="no such folder"):
        main([str(tmp_path / "none"), str(tmp_path / "out")])
    with pytest.raises(SystemExit):
        main([str(root), str(tmp_path / "out"), "--number", "-1"])
    assert not (tmp_path / "out").exists()


def test_rows_are_drawn_and_come_again_only_for_samples() -> None:
    rng = np.random.default_rng(0)
    assert choose(3, 0, False, rng) == [0, 1, 2]
    assert len(set(choose(10, 4, False, rng))) == 4
    rows = choose(3, 8, True, rng)
    assert [sorted(rows[k : k + 3]) for k in (0, 3)] == [[0, 1, 2]] * 2
    assert len(rows) == 8


def test_names_are_the_images_and_each_once() -> None:
    names = picture_names(["x/a.png", "y/a.png", "x/b.v2.jpg", "contact_sheet.png"])
    assert names == ["a-image0", "a-image1", "b.v2", "contact_sheet-image3"]


@pytest.mark.skipif(not (DATA / "dota-samples").exists(), reason=f"no {DATA / 'dota-samples'}")
@pytest.mark.slow
def test_real_images(tmp_path: Path) -> None:
    main([str(DATA / "dota-samples"), str(tmp_path), "--sheet"])
    assert len(files(tmp_path)) == 7


def test_pictures_go_to_a_folder_of_their_own(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("predict.score_threshold: 0.5\n")
    main([str(root), "--number", "1", "--processes", "1"])
    assert capsys.readouterr().out == "1 picture from 3 images\nresults: runs/show/data-train\n"
    main([str(root), "mine.yaml", "--split", "val", "--processes", "1"])
    assert "results: runs/show/data-val\n" in capsys.readouterr().out
    assert files(tmp_path / "runs/show/data-val") == {"a.png", "b.png", "c.png"}
    main([str(root), "out", "mine.yaml", "--processes", "1"])
    assert files(tmp_path / "out") == {"a.png", "b.png", "c.png"}
