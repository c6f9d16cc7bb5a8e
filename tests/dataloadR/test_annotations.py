from pathlib import Path

import numpy as np
import pytest

from dataloadR.annotations import AnnotationError, is_image, read_everything, read_split, split_is_labelled
from tests.paths import DATA

SQUARE = "1 2 11 2 11 12 1 12"
QUAD = [[1, 2], [11, 2], [11, 12], [1, 12]]
TOKEN = "1,2,11,12,{},1,2,11,2,11,12,1,12,1.0,0.0"


def lay(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def test_dota_folder_with_every_oddity(tmp_path: Path) -> None:
    header = "\ufeffimagesource:GoogleEarth\r\ngsd:0.1\r\n\r\n"
    lines = f"{header}{SQUARE} ship 1\r\n{SQUARE} plane\r\n{SQUARE} ship 2\r\n"
    root = lay(
        tmp_path / "a root",
        {
            "images/a b.v1.JPG": "",
            "images/empty.png": "",
            "images/none.TIFF": "",
            "images/notes.md": "",
            "labelTxt/a b.v1.txt": lines,
            "labelTxt/empty.txt": "\n",
            "ImageSets/train.txt": "a b.v1\r\nempty.png\r\n\r\nnone\r\n",
        },
    )
    annotations, classes = read_split(root, "train")
    assert classes == ("plane", "ship")
    assert [Path(a.image_path).name for a in annotations] == ["a b.v1.JPG", "empty.png", "none.TIFF"]
    first = annotations[0]
    np.testing.assert_array_equal(first.quads, [QUAD] * 3)
    assert first.labels.tolist() == [1, 0, 1]
    assert first.difficult.tolist() == [1, 0, 2]
    for empty in annotations[1:]:
        assert [field.shape for field in empty[1:]] == [(0, 4, 2), (0,), (0,)]
    assert read_split(root, "train", ["x", "ship", "plane"])[0][0].labels.tolist() == [1, 2, 1]


def test_without_image_sets_every_split_is_everything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = lay(tmp_path, {"images/b.png": "", "images/a.png": "", "labelTxt/a.txt": f"{SQUARE} ship 0"})
    for split in ("train", "val"):
        annotations, _ = read_split(root, split)
        assert [Path(a.image_path).name for a in annotations] == ["a.png", "b.png"]
    assert "no ImageSets" in caplog.text


def test_split_folders_and_index_first_lines(tmp_path: Path) -> None:
    root = lay(
        tmp_path,
        {
            "train/images/a.png": "",
            "train/labelTxt/a.txt": f"1 {SQUARE}\n0 {SQUARE} 2",
            "val/images/b.png": "",
        },
    )
    (annotation,), classes = read_split(root, "train")
    assert classes == ("class0", "class1")
    assert annotation.labels.tolist() == [1, 0]
    assert annotation.difficult.tolist() == [0, 2]
    np.testing.assert_array_equal(annotation.quads[1], QUAD)
    assert split_is_labelled(root, "train")
    assert not split_is_labelled(root, "val")
    with pytest.raises(AnnotationError, match="no split 'test', found train, val"):
        read_split(root, "test")


def test_horizontal_boxes_are_quads_clockwise_from_their_upper_left(tmp_path: Path) -> None:
    root = lay(
        tmp_path, {"images/P1.png": "", "labelTxt/P1.txt": "2 3 12.5 6 ship\n2 3 12.5 6 large-car 1\n"}
    )
    (annotation,), classes = read_split(root, "train")
    assert (classes, annotation.difficult.tolist()) == (("large-car", "ship"), [0, 1])
    for quad in annotation.quads:
        np.testing.assert_array_equal(quad, [[2, 3], [12.5, 3], [12.5, 6], [2, 6]])
    lay(tmp_path, {"list/train.txt": "a.png 2,3,12.5,6,1\n", "list/a.png": ""})
    ((listed,), _) = read_split(tmp_path / "list", "train.txt")
    np.testing.assert_array_equal(listed.quads[0], annotation.quads[0])
    with pytest.raises(AnnotationError, match=r"P1\.txt:1: expected 8 coordinates .* got 5 fields"):
        read_split(lay(tmp_path, {"labelTxt/P1.txt": "0 2 3 12.5 6\n"}), "train")  # YOLO's order


def test_everything_means_all_splits_each_image_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = {
        "images/a.png": "",
        "images/b.png": "",
        "ImageSets/train.txt": "a\n",
        "ImageSets/all.txt": "a\nb\n",
    }
    root = lay(tmp_path / "one", {**files, "labelTxt/b.txt": f"{SQUARE} ship 1"})
    annotations, classes = read_everything(root)
    assert [len(a.labels) for a in annotations] == [0, 1]
    assert classes == ("ship",)
    root = lay(
        tmp_path / "two", {f"{split}/{name}": text for split in ("x", "y") for name, text in files.items()}
    )
    lay(root, {"x/labelTxt/a.txt": f"{SQUARE} plane", "y/labelTxt/a.txt": f"{SQUARE} ship"})
    annotations, classes = read_everything(root)
    assert [a.labels.tolist() for a in annotations] == [[0], [], [1], []]
    assert classes == ("plane", "ship")
    root = lay(tmp_path / "three", {"train.txt": f"a.png {TOKEN.format(1)}\nb.png\n"})
    assert [len(a.labels) for a in read_everything(root / "train.txt")[0]] == [1, 0]
    assert not caplog.text
    with pytest.raises(AnnotationError, match="expected images/ and labelTxt/, SPLIT/images/"):
        read_everything(root)
    with pytest.raises(AnnotationError, match="no such folder or list file"):
        read_everything(tmp_path / "four")


def test_voc_folders(tmp_path: Path) -> None:
    root = lay(
        tmp_path,
        {
            "JPEGImages/a.bmp": "",
            "Annotations/a.txt": f"0 {SQUARE} 1",
            "ImageSets/test.txt": "a",
        },
    )
    (annotation,), classes = read_split(root, "test", ["ship"])
    assert classes == ("ship",)
    assert annotation.difficult.tolist() == [1]
    with pytest.raises(AnnotationError, match="no split 'val', found test"):
        read_split(root, "val")


def test_list_file(tmp_path: Path) -> None:
    lines = f"images/a b,c.png {TOKEN.format(1)} {TOKEN.format(0)}\nx/d.png\n/abs/e.png {TOKEN.format(0)}\r\n"
    root = lay(tmp_path, {"lists/train.txt": lines, "images/a b,c.png": "", "lists/x/d.png": ""})
    path = root / "lists/train.txt"
    for place, split in ((path, "train"), (root, "lists/train.txt"), (root / "absent", str(path))):
        annotations, classes = read_split(place, split)
        assert classes == ("class0", "class1")
        paths = [str(tmp_path / "images/a b,c.png"), str(tmp_path / "lists/x/d.png"), "/abs/e.png"]
        assert [a.image_path for a in annotations] == paths
        assert [a.labels.tolist() for a in annotations] == [[1, 0], [], [0]]
        np.testing.assert_array_equal(annotations[0].quads, [QUAD, QUAD])
        assert split_is_labelled(place, split)
    assert read_split(root, "lists/train.txt", ["ship", "car"])[1] == ("ship", "car")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 2 3 4 5 6 ship", r"P1\.txt:2: expected 8 coordinates .* got 7 fields: '1 2 3 4 5 6 ship'"),
        (f"{SQUARE} boat 0", r"P1\.txt:2: unknown class 'boat', known are ship"),
        ("1 2 x 4 5 6 7 8 ship 0", r"P1\.txt:2: expected a number for x2, got 'x'"),
        ("1 2 3 4 5 6 7 inf ship 0", r"P1\.txt:2: expected a finite number for y4, got 'inf'"),
        (f"{SQUARE} ship 3", r"P1\.txt:2: expected 0, 1 or 2 for the difficult flag, got '3'"),
        (f"1 {SQUARE} 0", r"P1\.txt:2: expected a class index below 1 \(ship\), got 1"),
        (f"0.5 {SQUARE}", r"P1\.txt:2: expected a whole number for the class index, got '0.5'"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    root = lay(tmp_path, {"images/P1.png": "", "labelTxt/P1.txt": f"{SQUARE} ship 0\n{line}\n"})
    with pytest.raises(AnnotationError, match=message):
        read_split(root, "train", ["ship"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.png 1,2,3,4,0,1,2,3", r"l\.txt:1: expected 15 comma-separated numbers .*, got 8"),
        (
            f"a.png {TOKEN.format('x')}",
            r"l\.txt:1: expected a whole number for the class index|expected a number",
        ),
        (f"a.png {TOKEN.format(5)}", r"l\.txt:1: expected a class index below 1"),
        (TOKEN.format(0), r"l\.txt:1: expected an image path"),
        (
            f"a.png {TOKEN.format(0)} 1,2,,4,5 {TOKEN.format(0)}",
            r"l\.txt:1: expected 15 numbers in '1,2,,4,5'",
        ),
        ("", "at least one image"),
    ],
)
def test_bad_list_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    root = lay(tmp_path, {"l.txt": line})
    with pytest.raises(AnnotationError, match=message):
        read_split(root / "l.txt", "train", ["ship"])


def test_bad_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="nowhere: no such folder or list file"):
        read_split(tmp_path / "nowhere", "train")
    with pytest.raises(AnnotationError, match="expected images/ and labelTxt/"):
        read_split(tmp_path, "train")
    root = lay(
        tmp_path,
        {"images/a.png": "", "images/a.jpg": "", "ImageSets/train.txt": "", "ImageSets/val.txt": "b"},
    )
    lay(root, {"ImageSets/test.txt": "a"})
    with pytest.raises(AnnotationError, match=r"train\.txt: expected at least one image"):
        read_split(root, "train")
    with pytest.raises(AnnotationError, match=r"val\.txt:1: expected one image for 'b', found no image"):
        read_split(root, "val")
    with pytest.raises(AnnotationError, match=r"test\.txt:1: .* found a\.jpg and a\.png"):
        read_split(root, "test")
    with pytest.raises(AnnotationError, match="no split 'tset', found test, train, val"):
        read_split(root, "tset")


@pytest.mark.parametrize(
    ("root", "split", "images", "boxes"),
    [
        ("hit-uav", "train", 1400, None),
        ("hit-uav", "val", 267, None),
        ("dior-r-mini", "all", 70, None),
        ("dota-samples", "all", 6, 1187),
        ("hrsc2016-labels/train.txt", "train", 617, 1748),
    ],
)
def test_real_data(root: str, split: str, images: int, boxes: int | None) -> None:
    if not (DATA / root).exists():
        pytest.skip(f"{DATA / root} is absent (GGHL_DATA)")
    annotations, classes = read_split(DATA / root, split)
    assert len(annotations) == images
    assert boxes in (None, sum(len(a.quads) for a in annotations))
    assert max(a.labels.max(initial=0) for a in annotations) < len(classes)


@pytest.mark.parametrize(
    ("name", "expected"), [("a.png", True), ("._a.png", False), (".a.123.tmp.png", False), ("a.txt", False)]
)
def test_hidden_files_are_no_images(name: str, expected: bool) -> None:
    assert is_image(Path(name)) == expected
