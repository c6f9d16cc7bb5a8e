"""Merging against a slow loop, by hand, and whatever can be wrong with the files."""

import re
from pathlib import Path

import numpy as np
import pytest
import shapely

from datasets_tools import merge, merging
from evalR.scoring.dota_results import find_results, result_text
from utils.errors import UserError
from utils.tiles import Tile

LINE = "P1__1__600___0 0.9 0 0 9 0 9 9 0 9"


def run(folder: Path, *words: str) -> dict[str, str]:
    """Merge `folder/tiles` and return the text of each file."""
    merge.main([str(folder / "tiles"), str(folder / "out"), "--processes", "1", *words])
    return {path.name: path.read_text() for path in sorted((folder / "out").iterdir())}


def write(folder: Path, name: str, *lines: str) -> Path:
    path = folder / "tiles" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def random_tiles(rng: np.random.Generator, boxes: bool) -> list[str]:
    """Detections of some objects by several tiles at several rates, jittered, with false ones among them."""
    lines = []
    for image in ("P1", "two words", "a__1__b"):
        for _ in range(40):
            middle, sides = rng.uniform(0, 700, 2), rng.uniform(8, 90, 2)
            for _ in range(int(rng.integers(1, 5))):
                rate, angle = float(rng.choice([0.5, 1.0, 1.5])), rng.uniform(0, 0.3) * (not boxes)
                corner = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * sides / 2
                turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
                quad = corner @ turn + middle + rng.normal(0, 0.08, 2) * sides
                tile = Tile(image, rate, int(rng.integers(0, 400)), int(rng.integers(0, 400)))
                local = quad * rate - [tile.x, tile.y]
                numbers = np.concatenate([local.min(axis=0), local.max(axis=0)]) if boxes else local.ravel()
                lines.append(f"{tile.name} {rng.uniform():.5f} " + " ".join(f"{v:.4f}" for v in numbers))
    return [lines[k] for k in rng.permutation(len(lines))]


def slow_merge(lines: list[str], iou: float, boxes: bool) -> dict[str, list[list[float]]]:
    """NMS of one class by shapely, one detection after the other: score and coordinates per image."""
    rows: dict[str, list[list[float]]] = {}
    for line in lines:
        name, score, *numbers = line.rsplit(" ", 5 if boxes else 9)
        image, rate, x, y = name.replace("___", "__").rsplit("__", 3)
        points = np.array(numbers, float).reshape(-1, 2) + np.array([x, y], float)
        rows.setdefault(image, []).append([float(score), *(points / float(rate)).ravel()])
    kept: dict[str, list[list[float]]] = {}
    for image, found in rows.items():
        kept[image] = []
        for row in sorted(found, key=lambda row: -row[0]):
            own = polygon(row[1:])
            others = [polygon(other[1:]) for other in kept[image]]
            if all(own.intersection(other).area <= iou * own.union(other).area for other in others):
                kept[image].append(row)
    return kept


def polygon(numbers: list[float]) -> shapely.Polygon:
    return shapely.box(*numbers) if len(numbers) == 4 else shapely.Polygon(np.reshape(numbers, (4, 2)))


def read(text: str, count: int) -> dict[str, list[list[float]]]:
    rows: dict[str, list[list[float]]] = {}
    for line in text.splitlines():
        name, *numbers = line.rsplit(" ", count)
        rows.setdefault(name, []).append([float(number) for number in numbers])
    return rows


@pytest.mark.parametrize("boxes", [False, True])
@pytest.mark.parametrize("iou", [0.1, 0.3, 0.6])
def test_equals_a_slow_loop(tmp_path: Path, boxes: bool, iou: float) -> None:
    lines = random_tiles(np.random.default_rng([int(10 * iou), boxes]), boxes)
    name = "Task2_ship.txt" if boxes else "Task1_ship.txt"
    write(tmp_path, name, *lines)
    merged = read(run(tmp_path, "--iou", str(iou))[name], 5 if boxes else 9)
    expected = slow_merge(lines, iou, boxes)
    assert list(merged) == sorted(expected)
    assert 100 < sum(map(len, merged.values())) < len(lines)
    for image, rows in merged.items():
        np.testing.assert_allclose(rows, expected[image], atol=6e-5, rtol=0)


def test_by_hand(tmp_path: Path) -> None:
    write(
        tmp_path,
        "ship.txt",
        "P1__1__600___0 0.5 10 20 30 20 30 40 10 40",
        "P1__0.5__100___0 0.75 205.125 10 215 10 215 20 205 20",  # the same object
        "P1__1__0___0 0.25 10 20 30 20 30 40 10 40.00001",
        "P0__1__0___7 1 1 1 2 1 2 2 1 2",
    )
    write(tmp_path, "Task1_plane.txt", "P1__1__600___0 0.5 10 20 30 20 30 40 10 40")
    assert run(tmp_path) == {
        "Task1_plane.txt": "P1 0.50000000 610 20 630 20 630 40 610 40\n",
        "ship.txt": "P0 1.00000000 1 8 2 8 2 9 1 9\n"
        "P1 0.75000000 610.25 20 630 20 630 40 610 40\n"
        "P1 0.25000000 10 20 30 20 30 40 10 40\n",
    }


def test_fused_quads_are_weighted_means(tmp_path: Path) -> None:
    write(
        tmp_path,
        "Task1_ship.txt",
        "P2__1__600___0 0.6 10 20 30 20 30 40 10 40",
        "P2__1__300___0 0.2 334 40 314 40 314 20 334 20",  # 4 px to the right, other vertex first
        "P1__1__0___0 0.3 10 20 30 20 30 40 10 40",
    )
    write(tmp_path, "Task2_ship.txt", "P2__1__600___0 0.6 10 20 30 40", "P2__1__600___0 0.2 10 20 30 44")
    merged = run(tmp_path, "--method", "fuse")
    assert merged["Task1_ship.txt"] == (
        "P1 0.30000000 10 20 30 20 30 40 10 40\nP2 0.60000000 611 20 631 20 631 40 611 40\n"
    )
    assert merged["Task2_ship.txt"] == "P2 0.60000000 610 20 630 41\n"
    path = write(tmp_path, "Task1_ship.txt", "P2__1__600___0 -0.6 10 20 30 20 30 40 10 40")
    with pytest.raises(UserError, match=rf"{path}:1: expected a score of 0 or above .* got -0.6"):
        run(tmp_path, "--method", "fuse")


def test_thresholds_and_the_best_of_each_image(tmp_path: Path) -> None:
    quad = "0 0 9 0 9 9 0 9"
    ships = [f"P1__1__{20 * k}___0 0.{k} {quad}" for k in range(1, 7)]
    write(tmp_path, "Task1_ship.txt", *ships, f"P2__1__0___0 0.1 {quad}")
    write(tmp_path, "Task1_plane.txt", f"P1__1__0___0 0.55 {quad}")
    write(tmp_path, "Task2_plane.txt", "P1__1__0___0 0.05 0 0 9 9")
    merged = run(tmp_path, "--max-per-image", "2")
    scores = {name: [line.split()[1][:4] for line in text.splitlines()] for name, text in merged.items()}
    assert scores == {
        "Task1_plane.txt": ["0.55"],
        "Task1_ship.txt": ["0.60", "0.10"],
        "Task2_plane.txt": ["0.05"],
    }
    assert run(tmp_path, "--score", "0.5")["Task1_ship.txt"].count("\n") == 2


@pytest.mark.parametrize("words", [[], ["--method", "fuse"], ["--max-per-image", "3"]])
def test_empty_files(tmp_path: Path, words: list[str]) -> None:
    write(tmp_path, "Task1_ship.txt")
    write(tmp_path, "Task2_ship.txt", "", "  ")
    assert run(tmp_path, *words) == {"Task1_ship.txt": "", "Task2_ship.txt": ""}
    write(tmp_path, "Task1_plane.txt", LINE)
    assert run(tmp_path, "--score", "0.95", *words)["Task1_plane.txt"] == ""


def test_folders_without_results(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tiles: expected a folder of result files, found none"):
        run(tmp_path)
    (tmp_path / "tiles").mkdir()
    with pytest.raises(UserError, match=r"expected result files such as Task1_plane.txt, found no .txt file"):
        run(tmp_path)
    with pytest.raises(UserError, match="expected another folder than that of the tiles"):
        merge.main([str(tmp_path), f"{tmp_path}/tiles/.."])


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        (
            "Task1_ship.txt",
            "P1__1__0___0 0.5 1 2 3 4",
            "expected 10 fields, got 6: 'P1__1__0___0 0.5 1 2 3 4'",
        ),
        ("ship.txt", "0.5 1 2 3 4 5 6 7 8", "expected 10 fields, got 9"),
        ("Task2_ship.txt", "P1__1__0___0 0.5 1 2 3", "expected 6 fields, got 5"),
        ("Task1_ship.txt", f"{LINE} 4", "expected IMAGE__RATE__X___Y .* got 'P1__1__600___0 0.9'"),
        ("Task2_ship.txt", LINE, "expected IMAGE__RATE__X___Y .* got 'P1__1__600___0 0.9 0 0 9'"),
        ("Task1_ship.txt", LINE.replace("0.9", "high"), "expected 9 finite numbers .* 'high'"),
        ("Task1_ship.txt", LINE.replace("0.9", "nan"), "expected 9 finite numbers .* got nan 0 0"),
        ("Task1_ship.txt", LINE[:-1] + "inf", "expected 9 finite numbers .* inf"),
        ("Task1_ship.txt", LINE[:-1] + "1e9", r"expected coordinates up to 1e\+07 px, got .* 1000000000"),
        ("Task1_ship.txt", LINE.replace("__1__", "__0__"), "IMAGE__RATE__X___Y .* got 'P1__0__600___0'"),
        (
            "Task1_ship.txt",
            LINE.replace("__1__600___0", ""),
            "got 'P1'; --whole-images takes it for an image",
        ),
        ("Task2_ship.txt", "P1__1__0___0 0.5 9 2 3 4", "expected x_min <= x_max .* got 9 2 3 4"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, name: str, line: str, message: str) -> None:
    good = LINE if name != "Task2_ship.txt" else "P1__1__0___0 0.5 1 2 3 4"
    write(tmp_path, "Task1_plane.txt", LINE)
    path = write(tmp_path, name, good, "", line, good)
    with pytest.raises(UserError, match=rf"^{path}:3: .*{message}"):
        run(tmp_path)
    assert not (tmp_path / "out").exists()


def test_mutated_files_are_read_or_named(tmp_path: Path) -> None:
    """Bytes are changed and dropped: a reading that can be written, or an error with file and line."""
    rng = np.random.default_rng(0)
    good = "\n".join(random_tiles(rng, False)[:12]).encode()
    path, errors = write(tmp_path, "ship.txt"), []
    for _ in range(500):
        data = bytearray(good)
        for _ in range(int(rng.integers(1, 4))):
            place, length = int(rng.integers(len(data))), int(rng.integers(1, 12))
            new = bytes(
                rng.choice(list(b"0123456789 .-+_e\n\t\xff\x00nainf"), int(rng.integers(0, 12))).tolist()
            )
            data[place : place + length] = new
        path.write_bytes(data)
        try:
            merged = merging.merge_file(find_results(path.parent)[0], merging.MergeRule())
        except UserError as error:
            errors.append(str(error))
        else:
            assert np.isfinite(merged.rows.coordinates).all()
            assert result_text(merged.rows).count("\n") <= data.count(b"\n") + 1
    assert all(re.match(rf"{path}:\d+: ", error) for error in errors)
    assert 100 < len(errors) < 500


def test_text_of_another_encoding_and_other_line_ends(tmp_path: Path) -> None:
    path = write(tmp_path, "ship.txt")
    path.write_bytes(b"\xef\xbb\xbf" + f"{LINE}\r\n\r\n".encode())
    assert run(tmp_path)["ship.txt"] == "P1 0.90000000 600 0 609 0 609 9 600 9\n"
    path.write_bytes(f"{LINE}\n".encode() + b"\xff\xfe 0.5\n")
    with pytest.raises(UserError, match=rf"{path}:2: expected UTF-8 text"):
        run(tmp_path)


def test_images_that_were_not_cut(tmp_path: Path) -> None:
    write(tmp_path, "ship.txt", LINE, "P2 0.9 0 0 9 0 9 9 0 9", "P1 0.8 600 0 609 0 609 9 600 9")
    assert run(tmp_path, "--whole-images")["ship.txt"] == (
        "P1 0.90000000 600 0 609 0 609 9 600 9\nP2 0.90000000 0 0 9 0 9 9 0 9\n"
    )


def test_an_interruption_leaves_whole_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path, f"Task1_{name}.txt", LINE)
    real, calls = Path.replace, []

    def replace(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["Task1_a.txt"]
    monkeypatch.setattr(Path, "replace", real)
    assert len(run(tmp_path)) == 3


def test_other_files_in_the_folder_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, "Task1_ship.txt", LINE)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "Task1_plane.txt").write_text("")
    run(tmp_path)
    assert "Task1_plane.txt" in caplog.text


def test_two_processes_give_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for name in ("ship", "plane", "harbor"):
        write(tmp_path, f"Task1_{name}.txt", *random_tiles(rng, False))
    alone = run(tmp_path)
    assert " detections of tiles: " in capsys.readouterr().out
    assert run(tmp_path, "--processes", "2") == alone


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--iou", "3"], "expected 0 to 1, got 3"),
        (["--max-per-image", "0"], "expected a whole number above 0, got 0"),
        (["--processes", "two"], "expected a whole number above 0, got two"),
    ],
)
def test_wrong_words_are_refused(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        merge.main(["a", "b", *words])
    assert message in capsys.readouterr().err
