"""What stands in the zip, and each reason to refuse one."""

import zipfile
from pathlib import Path

import pytest

from datasets_tools import merge, submit
from evalR.scoring.result_sets import image_names
from utils.errors import UserError

SQUARE = "0 0 9 0 9 9 0 9"
LINE = f"P1 0.9 {SQUARE}"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a list of two images and results of one class."""
    (tmp_path / "names.txt").write_text("P1\nimages/P2.png\n")
    write(tmp_path, "Task1_ship.txt", LINE)
    return tmp_path


def write(folder: Path, name: str, *lines: str) -> Path:
    path = folder / "results" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def run(folder: Path, *words: str, classes: str = "ship,small-vehicle") -> dict[str, str]:
    """Submit and return the text of each file of the zip, in its order."""
    places = [str(folder / "results"), str(folder / "new" / "out.zip"), "--images", str(folder / "names.txt")]
    submit.main([*places, "--classes", classes, "--processes", "1", *words])
    with zipfile.ZipFile(folder / "new" / "out.zip") as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_one_file_per_class_at_the_root(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(place, "small-vehicle.txt", "P2 1e-3 0.12346 0 9 0 9 9 0 9.00001", "P1 1 -3 -0.00001 9 0 9 9 0 9")
    assert run(place) == {
        "Task1_ship.txt": "P1 0.90000000 0 0 9 0 9 9 0 9\n",
        "Task1_small-vehicle.txt": "P2 0.00100000 0.1235 0 9 0 9 9 0 9\nP1 1.00000000 -3 0 9 0 9 9 0 9\n",
    }
    assert not caplog.text


@pytest.mark.parametrize(("preset", "count"), [("dota", 15), ("dota15", 16), ("dota2", 18)])
def test_presets(place: Path, preset: str, count: int, caplog: pytest.LogCaptureFixture) -> None:
    files = run(place, classes=preset)
    assert len(files) == count
    assert list(files)[4] == "Task1_small-vehicle.txt"
    assert [name for name, text in files.items() if text] == ["Task1_ship.txt"]
    assert "no file for plane, baseball-diamond" in caplog.text
    assert "1 of 2 images have no detection: P2" in caplog.text


def test_the_same_results_give_the_same_bytes(place: Path) -> None:
    run(place)
    first = (place / "new" / "out.zip").read_bytes()
    (place / "results" / "Task1_ship.txt").touch()
    run(place, "--processes", "2")
    assert (place / "new" / "out.zip").read_bytes() == first


def test_task_2(place: Path) -> None:
    write(place, "Task2_ship.txt", "P1 0.9 1 2 3.5 4", "P2 0.8 1 2 3 4")
    assert run(place, "--task", "2")["Task2_ship.txt"] == "P1 0.90000000 1 2 3.5 4\nP2 0.80000000 1 2 3 4\n"
    write(place, "Task1_ship.txt", "P1 0.9 5 0 9 5 5 10 1 5", "P1 0.8 5 0 1 5 5 10 9 6")
    files = run(place, "--task", "2", "--from-task1")
    assert files["Task2_ship.txt"] == "P1 0.90000000 1 0 9 10\nP1 0.80000000 1 0 9 10\n"
    assert list(files) == ["Task2_ship.txt", "Task2_small-vehicle.txt"]


@pytest.mark.parametrize(
    ("quad", "written", "remark"),
    [
        ("0 0 0 9 9 9 9 0", "0 0 9 0 9 9 0 9", "counter-clockwise, turned round: 1 of 2"),
        ("0 0 9 9 9 0 0 9", "0 0 9 0 9 9 0 9", "self-crossing, put in order: 1 of 2"),
        ("0 0 9 0 4 4 0 9", "0 0 9 0 4 4 0 9", "not convex, left as they are: 1 of 2"),
        ("0 0 9 0 9 0 0 0", "0 0 9 0 9 0 0 0", "without area, left as they are: 1 of 2"),
        ("0 0 9 0 9 9 4.5001 4.5", "0 0 9 0 9 9 4.5001 4.5", ""),  # three in a line
    ],
)
def test_order_of_vertices(
    place: Path, quad: str, written: str, remark: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(place, "Task1_ship.txt", LINE, f"P2 0.5 {quad}")
    lines = run(place)["Task1_ship.txt"].splitlines()
    assert lines[0] == "P1 0.90000000 0 0 9 0 9 9 0 9"
    assert sorted(corners(lines[1])) == sorted(corners(f"P2 0.5 {written}"))
    assert turns(lines[1]) >= 0
    assert (f"{path}:2: quads {remark}" in caplog.text) if remark else ("quads" not in caplog.text)
    if remark:
        with pytest.raises(
            UserError, match=rf"{path}:2: expected a convex quad, clockwise on the screen, got"
        ):
            run(place, "--strict")
    else:
        run(place, "--strict")


def corners(line: str) -> list[tuple[float, float]]:
    numbers = [float(field) for field in line.split()[2:]]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def turns(line: str) -> float:
    """Twice the area of a quad, positive where it runs clockwise with y down."""
    points = corners(line)
    return sum(x * v - u * y for (x, y), (u, v) in zip(points, points[1:] + points[:1], strict=True))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"P3 0.9 {SQUARE}", "expected an image of the list, got 'P3'$"),
        (f"P1.png 0.9 {SQUARE}", "expected an image of the list, got 'P1.png'$"),
        (f"P1__1__0___0 0.9 {SQUARE}", "got 'P1__1__0___0': results of tiles are merged first"),
        (f"P1 0.9 {SQUARE} 3", "expected an image of the list, got 'P1 0.9'"),
        ("P1 0.9 0 0 9 0 9 9", "expected 10 fields, got 8"),
        (f"P1 nan {SQUARE}", "expected 9 finite numbers"),
        (f"P1 high {SQUARE}", "expected 9 finite numbers .*'high'"),
        ("P1 0.9 0 0 9 0 9 9 0 -inf", "expected 9 finite numbers"),
        (f"P1 0.90 {SQUARE}", "expected each detection once, line 1 is the same"),
    ],
)
def test_bad_lines_are_refused(place: Path, line: str, message: str) -> None:
    path = write(place, "Task1_ship.txt", LINE, "", line, LINE.replace("0.9", "0.8"))
    with pytest.raises(UserError, match=rf"{path}:3: .*{message}"):
        run(place)
    assert not (place / "new").exists()


def test_bad_boxes_are_refused(place: Path) -> None:
    path = write(place, "Task2_ship.txt", "P1 0.9 1 2 3 1")
    with pytest.raises(UserError, match=rf"{path}:1: expected x_min <= x_max and y_min <= y_max"):
        run(place, "--task", "2")


def test_files_that_are_refused(place: Path) -> None:
    path = write(place, "Task1_small_vehicle.txt")
    with pytest.raises(
        UserError, match=rf"{path}: expected one of the classes ship, .*the server calls it small-vehicle"
    ):
        run(place)
    path.unlink()
    path = write(place, "ship.txt")
    with pytest.raises(UserError, match=r"ship.txt: expected one file per class, .*ship.txt is another"):
        run(place)
    with pytest.raises(UserError, match=r"expected files such as Task2_ship.txt, found none; --from-task1"):
        run(place, "--task", "2")


def test_places_that_are_refused(place: Path) -> None:
    with pytest.raises(UserError, match=r"out.txt: expected a name that ends in .zip"):
        submit.main(["r", "out.txt", "--images", "i", "--classes", "dota"])
    for results in (place / "none", place / "empty"):
        (place / "empty").mkdir(exist_ok=True)
        with pytest.raises(UserError, match=rf"{results}: expected .* found no"):
            submit.main([str(results), "o.zip", "--images", str(place / "names.txt"), "--classes", "dota"])
    with pytest.raises(UserError, match=r"images: expected a folder of images or a list of their names"):
        run(place, "--images", str(place / "images"))
    with pytest.raises(UserError, match=r"empty: expected at least one image, found none"):
        run(place, "--images", str(place / "empty"))
    (place / "names.txt").write_text("P1\nP2\nP1.png\n")
    with pytest.raises(UserError, match=r"names.txt: image names: expected each once, got 'P1' twice"):
        run(place)
    (place / "names.txt").write_text("P1\ntwo words\n")
    with pytest.raises(UserError, match=r"names.txt: image name: expected one word, got 'two words'"):
        run(place)
    with pytest.raises(UserError, match=r"class name: expected one that can stand in a file name, got ''"):
        run(place, classes="ship,")


def test_a_folder_of_images(place: Path) -> None:
    (place / "images").mkdir()
    for name in ("P1.png", "P2.TIF", "readme.md"):
        (place / "images" / name).touch()
    assert image_names(place / "images") == ["P1", "P2"]
    assert run(place, "--images", str(place / "images"))["Task1_ship.txt"]


def test_no_detections_at_all(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(place, "Task1_ship.txt")
    assert run(place) == {"Task1_ship.txt": "", "Task1_small-vehicle.txt": ""}
    assert "2 of 2 images have no detection" in caplog.text
    assert run(place, "--task", "2", "--from-task1") == {"Task2_ship.txt": "", "Task2_small-vehicle.txt": ""}


def test_the_size_is_limited(place: Path) -> None:
    run(place)
    before = (place / "new" / "out.zip").read_bytes()
    write(place, "Task1_ship.txt", *(f"P1 0.{k} {SQUARE}" for k in range(10, 99)))
    with pytest.raises(UserError, match=r"expected at most 0.0001 MB .* got 0.00; --score leaves out"):
        run(place, "--max-megabytes", "0.0001")
    assert [path.read_bytes() for path in (place / "new").iterdir()] == [before]
    assert run(place, "--score", "0.95")["Task1_ship.txt"].count("\n") == 4


def test_what_merge_writes_can_be_submitted(place: Path) -> None:
    (place / "tiles").mkdir()
    (place / "tiles" / "ship.txt").write_text(f"P1__1__0___0 0.9 {SQUARE}\nP2__0.5__4___0 0.9 {SQUARE}\n")
    merge.main([str(place / "tiles"), str(place / "merged"), "--processes", "1"])
    (place / "results").rename(place / "old")
    (place / "merged").rename(place / "results")
    assert run(place)["Task1_ship.txt"] == (
        "P1 0.90000000 0 0 9 0 9 9 0 9\nP2 0.90000000 8 0 26 0 26 18 8 18\n"
    )
