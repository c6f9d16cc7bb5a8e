from pathlib import Path

import cv2
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from utils.errors import UserError
from utils.runlog import RunLog, _panel_of, new_run_folder, read_results_table, save_curves


def test_new_run_folder_never_reuses(tmp_path: Path) -> None:
    names = [new_run_folder(tmp_path / "runs", "demo").name for _ in range(3)]
    assert names == ["demo", "demo-2", "demo-3"]
    (tmp_path / "runs" / "file").touch()
    assert new_run_folder(tmp_path / "runs", "file").name == "file-2"


@pytest.mark.parametrize("name", ["", "a/b", "..", "/tmp"])
def test_run_names_are_plain(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="expected a plain folder name"):
        new_run_folder(tmp_path, name)


def test_table_has_one_header_and_a_stable_order(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.write({"epoch": 0, "loss": 2.5, "note": 'a, "b"'})
        log.write({"note": None, "loss": 1.25, "epoch": 1})
    with RunLog(tmp_path) as log:
        log.write({"epoch": 2, "mAP50": 0.5, "loss": 1})
    lines = (tmp_path / "results.csv").read_text().splitlines()
    assert lines == ["epoch,loss,note,mAP50", '0,2.5,"a, ""b""",', "1,1.25,,", "2,1,,0.5"]


def test_resume_drops_later_rows_and_a_broken_line(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        for epoch in range(4):
            log.write({"epoch": epoch, "loss": 1.0})
    with (tmp_path / "results.csv").open("a") as file:
        file.write("4,0.")
    with RunLog(tmp_path, resume_epoch=2) as log:
        log.write({"epoch": 2, "loss": 7.0})
    assert [row["loss"] for row in read_results_table(tmp_path / "results.csv")] == ["1", "1", "7"]


@pytest.mark.parametrize("text", ["", "epoch,lo"])
def test_empty_and_headless_files_are_started_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.csv").write_text(text)
    with RunLog(tmp_path) as log:
        log.write({"epoch": 0, "loss": 1.0})
    assert (tmp_path / "results.csv").read_text() == "epoch,loss\n0,1\n"


def test_tensorboard_gets_numbers_and_images(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.write({"epoch": 3, "loss": 2.5, "note": "text"})
        log.scalars({"train/lr": 0.1}, 7)
        log.image("grid", np.zeros((8, 8, 3), np.uint8), 3)
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert board.Tags()["images"] == ["grid"]
    found = {tag: (e.step, e.value) for tag in board.Tags()["scalars"] for e in board.Scalars(tag)}
    assert found == {"loss": (3, 2.5), "train/lr": (7, pytest.approx(0.1))}


def test_curves_show_every_series(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        save = (tmp_path / "results.csv", tmp_path / "curves.png")
        for epoch in range(6):
            values = {
                "epoch": epoch,
                "loss": 200.0 / (epoch + 1),
                "iou": float("nan"),
                "images_per_second": 9.0,
                "lr": 0.02,
            }
            log.write(values | ({"mAP50": 0.1 * epoch} if epoch % 3 == 2 else {}))
        save_curves(*save)
    image = cv2.imread(str(save[1]))
    colourful = (image.max(axis=-1).astype(int) - image.min(axis=-1)) > 100
    for panel in np.array_split(colourful, 3, axis=1):
        assert panel.sum() > 100


def test_curves_of_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("epoch,loss,lr,mAP50\n")
    save_curves(tmp_path / "results.csv", tmp_path / "curves.png")
    assert cv2.imread(str(tmp_path / "curves.png")) is not None


@pytest.mark.parametrize(
    ("column", "panel"),
    [
        ("epoch", None),
        ("images_per_second", None),
        ("data_wait_share", None),
        ("lr", "learning rate"),
        ("train/lr", "learning rate"),
        ("AP50:95", "average precision"),
        ("mAP50", "average precision"),
        ("total", "loss"),
        ("glide", "loss"),
    ],
)
def test_panels_follow_the_names(column: str, panel: str | None) -> None:
    assert _panel_of(column) == panel


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\n", b"epoch\n" + b"9" * 200_000 + b"\n"])
def test_what_is_no_table_is_said_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "results.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"results\.csv: expected the table of a run, found .*$"):
        RunLog(tmp_path, 2)
    assert (tmp_path / "results.csv").read_bytes() == content
