"""What holds for every XML format: its sample by hand, no objects, splits, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest

from dataloadR.formats.notes import Notes
from tests.datasets_tools.formats.xml_samples import DIOR_R, HRSC2016, ROTATED, SAMPLES, Reader, read_text
from utils.errors import Faults, UserError

SECOND = [[1.5, 2.5], [9, 2.5], [9, 6], [1.5, 7]]  # of FAIR1M and CVAT
EXPECTED = {  # name, size, second quad, classes, kinds of losses
    "rolabelimg": (
        "P1",
        (512, 640),
        [[30, 50], [70, 50], [70, 75], [30, 75]],
        ["ship", "storage tank"],
        {"flags `truncated` were dropped": 1},
    ),
    "dior-r": (
        "P1.jpg",
        (800, 800),
        [[100, 100], [150, 101], [149, 131], [99, 130]],
        ["ship", "Expressway-toll-station"],
        {},
    ),
    "ssdd": ("P1.jpg", (350, 500), ROTATED, ["ship", "ship"], {}),
    "hrsc2016": (  # its width is the short side: the same corners from the next one on
        "P1.bmp",
        (833, 1138),
        np.roll(ROTATED, 1, axis=0),
        ["ship", "class100000013"],
        {"flags `truncated` were dropped": 1},
    ),
    "fair1m": ("P1.tif", (900, 1000), SECOND, ["ship", "Small Car"], {}),
    "cvat": (
        "first/P1.png",
        (512, 640),
        SECOND,
        ["ship", "storage tank"],
        {"flags `occluded` were dropped": 1, "shapes of the kind tag were left out": 1},
    ),
}
BROKEN = {  # what becomes of a sample, and what the error says
    "rolabelimg": ("<cx>50.0</cx>", "<cx>wide</cx>", "expected a number for <cx>, got 'wide'"),
    "dior-r": (
        "<robndbox>",
        "<robndbox><y_left_top>1</y_left_top>",
        "expected one <y_left_top> in <robndbox>",
    ),
    "ssdd": ("<x1>40</x1>", "<x1>inf</x1>", "expected a finite number for <x1>, got 'inf'"),
    "hrsc2016": (
        "<mbox_cx>50",
        "<mbox_cx>50</mbox_cx><mbox_cx>51",
        "expected one <mbox_cx> in <HRSC_Object>",
    ),
    "fair1m": ("72.000000,64.000000", "72.000000", "expected x,y in <point>, got '72.000000'"),
    "cvat": ("9.00,2.50;", "9.00;", "expected points x,y;x,y;.., got '9.00'"),
}
FORMATS = pytest.mark.parametrize(("reader", "sample"), SAMPLES.values(), ids=SAMPLES)


@pytest.mark.parametrize("form", SAMPLES)
def test_the_sample_by_hand(tmp_path: Path, form: str) -> None:
    name, size, second, classes, losses = EXPECTED[form]
    notes = Notes()
    image, *_ = read_text(tmp_path, *SAMPLES[form], notes)
    assert (image.name, image.size, image.classes) == (name, size, classes)
    np.testing.assert_allclose(image.quads, [ROTATED, second], atol=1e-9)
    assert image.difficult.tolist() == [0, 0 if form == "fair1m" else 1]
    assert notes.counts == losses


@pytest.mark.parametrize("form", SAMPLES)
def test_an_error_names_the_line(tmp_path: Path, form: str) -> None:
    reader, sample = SAMPLES[form]
    old, new, message = BROKEN[form]
    line = sample[: sample.index(old)].count("\n") + 1 + (form == "dior-r")  # the second is on the next line
    with pytest.raises(UserError, match=re.escape(f"P1.xml:{line}: {message}")):
        read_text(tmp_path, reader, sample.replace(old, new, 1))


@pytest.mark.parametrize("form", SAMPLES)
def test_a_broken_object_can_be_skipped(tmp_path: Path, form: str) -> None:
    reader, sample = SAMPLES[form]
    old, new, _ = BROKEN[form]
    whole = read_text(tmp_path, reader, sample)
    images = read_text(tmp_path, reader, sample.replace(old, new, 1), skip=True)
    assert [len(image.quads) for image in images] == [1, *(len(image.quads) for image in whole[1:])]


@pytest.mark.parametrize(
    ("form", "empty"),
    [
        ("rolabelimg", "<annotation></annotation>"),
        ("dior-r", "<annotation/>"),
        ("ssdd", "<annotation><size/></annotation>"),
        ("hrsc2016", "<HRSC_Image><HRSC_Objects/></HRSC_Image>"),
        ("fair1m", "<annotation><objects/></annotation>"),
        ("cvat", '<annotations><image name="P1"/></annotations>'),
    ],
)
def test_no_objects(tmp_path: Path, form: str, empty: str) -> None:
    (image,) = read_text(tmp_path, SAMPLES[form][0], empty)
    assert image.quads.shape == (0, 4, 2)
    assert (image.name, image.size, image.classes, image.difficult.shape) == ("P1", None, [], (0,))


def test_no_images_in_a_file_of_cvat(tmp_path: Path) -> None:
    assert read_text(tmp_path, SAMPLES["cvat"][0], "<annotations/>") == []


@FORMATS
def test_entities_are_refused(tmp_path: Path, reader: Reader, sample: str) -> None:
    laughs = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]>'
    text = laughs + sample.partition("?>\n")[2] if sample.startswith("<?xml") else laughs + sample
    with pytest.raises(UserError, match=r"P1.xml:1: expected no DOCTYPE"):
        read_text(tmp_path, reader, text.replace("ship", "&b;&c;"))


@FORMATS
def test_another_root_and_a_cut_file(tmp_path: Path, reader: Reader, sample: str) -> None:
    with pytest.raises(UserError, match=r"P1.xml:1: expected <\w+> as the root element, got <svg>"):
        read_text(tmp_path, reader, "<svg/>")
    with pytest.raises(UserError, match=r"P1.xml:8: expected well-formed XML: no element found"):
        read_text(tmp_path, reader, "\n".join(sample.splitlines()[:7]) + "\n")


@FORMATS
def test_nothing_to_read(tmp_path: Path, reader: Reader, sample: str) -> None:
    with pytest.raises(UserError, match=r"expected \.xml files, found none"):
        list(reader(tmp_path, Faults(False), Notes()))
    with pytest.raises(UserError, match="no such file or folder"):
        list(reader(tmp_path / sample[1:4], Faults(False), Notes()))


def write_all(texts: dict[Path, str]) -> None:
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def splits(reader: Reader, source: Path, notes: Notes) -> dict[str, str]:
    return {image.name: image.split for image in reader(source, Faults(False), notes)}


def test_splits_of_name_files(tmp_path: Path) -> None:
    labels, names = tmp_path / "Annotations" / "Oriented Bounding Boxes", tmp_path / "ImageSets" / "Main"
    write_all({labels / f"P{k}.xml": "<annotation/>" for k in range(5)})
    lists = {"train": "P0\nP1.png\n", "test": "P2\nP1\n", "trainval": "P0\nP1\nP3\n", "ship_train": "P4\n"}
    write_all({names / f"{name}.txt": text for name, text in lists.items()})
    expected = {"P0": "train", "P1": "train", "P2": "test", "P3": "trainval", "P4": ""}
    for source in (tmp_path, labels, labels.parent):
        notes = Notes()
        assert splits(SAMPLES["dior-r"][0], source, notes) == expected
        assert notes.counts == {"images are listed in two splits; they stay in the first": 1}
    assert splits(SAMPLES["dior-r"][0], labels / "P2.xml", Notes()) == {"P2": "test"}


def test_splits_of_folders(tmp_path: Path) -> None:
    files = ("train/part1/labelXml/P0", "validation/labelXml/P1", "Annotations_test_inshore/P2", "P3")
    write_all({tmp_path / f"{name}.xml": "<annotation/>" for name in files})
    expected = {"P0": "train", "P1": "val", "P2": "test", "P3": ""}
    reader = SAMPLES["fair1m"][0]
    assert splits(reader, tmp_path, Notes()) == expected
    assert splits(reader, tmp_path / "train", Notes()) == {"P0": "train"}
    assert splits(reader, tmp_path / "Annotations_test_inshore", Notes()) == {"P2": ""}


def test_an_image_with_two_files(tmp_path: Path) -> None:
    write_all({tmp_path / folder / "P1.xml": "<annotation/>" for folder in ("Horizontal", "Oriented")})
    reader = SAMPLES["dior-r"][0]
    with pytest.raises(UserError, match=r"Oriented/P1.xml: expected one file for an image, got .*Horizontal"):
        list(reader(tmp_path, Faults(False), Notes()))
    assert len(list(reader(tmp_path / "Oriented", Faults(False), Notes()))) == 1


def test_a_copy_that_names_another_image(tmp_path: Path) -> None:
    notes = Notes()
    (image,) = read_text(tmp_path, SAMPLES["dior-r"][0], DIOR_R.replace("P1.jpg", "00012.jpg"), notes)
    assert image.name == "P1"
    assert notes.counts == {"files name another image inside; the name of the file was taken": 1}


def test_hrsc2016_classes_by_name_and_in_one(tmp_path: Path) -> None:
    table = "<HRSC_Class><Class_ID>100000013</Class_ID><Class_Name>Kuznetsov</Class_Name></HRSC_Class>"
    files = {
        tmp_path / "Annotations" / "P1.xml": HRSC2016,
        tmp_path / "sysdata.xml": f"<HRSC><HRSC_Classes>{table}</HRSC_Classes></HRSC>",
    }
    write_all(files)
    reader = SAMPLES["hrsc2016"][0]
    for source in (tmp_path, tmp_path / "Annotations"):
        (image,) = reader(source, Faults(False), Notes())
        assert image.classes == ["ship", "Kuznetsov"]
    (image,) = reader(tmp_path, Faults(False), Notes(), one_class="ship")
    assert image.classes == ["ship", "ship"]


def test_ssdd_takes_the_corners(tmp_path: Path) -> None:
    reader, sample = SAMPLES["ssdd"]
    (image,) = read_text(tmp_path, reader, sample.replace("<x1>40", "<x1>39.5"))
    assert image.quads[0, 0].tolist() == [39.5, 40]


def test_fair1m_in_degrees_of_the_earth(tmp_path: Path) -> None:
    reader, sample = SAMPLES["fair1m"]
    with pytest.raises(UserError, match=r"P1.xml:7: expected pixel as the <coordinate>, got 'geo'"):
        read_text(tmp_path, reader, sample.replace(">pixel<", ">geo<"))


def test_cvat_splits_of_images_and_tasks(tmp_path: Path) -> None:
    images = read_text(tmp_path, *SAMPLES["cvat"])
    expected = [("first/P1.png", "val"), ("P2.png", "train"), ("P3.png", "")]
    assert [(image.name, image.split) for image in images] == expected


@pytest.mark.parametrize(
    ("subset", "split"), [("Test", "test"), ("default", ""), ("", ""), ("Night Shots", "night-shots")]
)
def test_cvat_split_of_the_only_task(subset: str, split: str, tmp_path: Path) -> None:
    meta = f"<meta><task><id>1</id><subset>{subset}</subset></task></meta>"
    text = f'<annotations>{meta}<image name="P1.png"/></annotations>'
    (image,) = read_text(tmp_path, SAMPLES["cvat"][0], text)
    assert image.split == split


def test_cvat_polygons_of_other_than_four_points(tmp_path: Path) -> None:
    """A rectangle with points between its corners."""
    points = "0,0;20,0;40,0;40,10;40,20;20,20;0,20;0,10"
    text = f'<annotations><image name="a"><polygon label="x" points="{points}"/></image></annotations>'
    notes = Notes()
    (image,) = read_text(tmp_path, SAMPLES["cvat"][0], text, notes)
    corners = sorted(image.quads[0].tolist())
    assert corners == [[0, 0], [0, 20], [40, 0], [40, 20]]
    assert sum(notes.counts.values()) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('<image name="../x.png"/>', "expected an image name inside the data set, got '../x.png'"),
        ('<image name="/x.png"/>', "expected an image name inside"),
        ('<image name="C:\\x.png"/>', "expected an image name inside"),
        ("<image/>", "expected name=... in <image>, got nothing"),
        ('<image name="a" width="3"/>', "expected height=... in <image>, got name width"),
        ('<image name="a" subset="a/../b"/>', "expected a subset of letters and digits"),
        ('<image name="a"/><image name="a"/>', "expected each image once, 'a' is at .*P1.xml:2"),
        ('<image name="a"><box xtl="1"/></image>', "expected label=... in <box>, got xtl"),
        ('<track id="0"/><image name="a"/>', "expected <track> in an export of one video alone, got more"),
        ('<track label="a"><box frame="x"/></track>', "expected the number of a frame, got 'x'"),
        ('<track><box frame="1"/></track>', "expected label=... in <track>, got nothing"),
    ],
)
def test_cvat_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=f"P1.xml:2: {message}"):
        read_text(tmp_path, SAMPLES["cvat"][0], f"<annotations>\n{text}</annotations>")


def test_degrees_for_radians_are_refused(tmp_path: Path) -> None:
    text = HRSC2016.replace("<mbox_ang>0", "<mbox_ang>450")
    with pytest.raises(UserError, match=r"P1.xml:18: expected an angle within 6.2832, a full turn, for"):
        read_text(tmp_path, SAMPLES["hrsc2016"][0], text)


def test_a_side_below_zero_and_a_box_inside_out(tmp_path: Path) -> None:
    reader, sample = SAMPLES["rolabelimg"]
    with pytest.raises(UserError, match=r"P1.xml:14: expected at least 0 for <w> and <h>, got -40 and 20"):
        read_text(tmp_path, reader, sample.replace("<w>40", "<w>-40"))
    with pytest.raises(UserError, match=r"P1.xml:22: expected xmin <= xmax and ymin <= ymax, got 30 50 7 75"):
        read_text(tmp_path, reader, sample.replace("<xmax>70", "<xmax>7"))


@pytest.mark.parametrize("encoding", ["gb2312", "gb18030", "big5", "utf-16", "iso-8859-1", "utf-8-sig"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    name = "caf\xe9" if encoding == "iso-8859-1" else "\u8239" if encoding != "utf-8-sig" else "\u8247\u2082"
    declared = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>'
    text = declared + DIOR_R.replace("<name>ship", f"<name>{name}")
    (image,) = read_text(tmp_path, SAMPLES["dior-r"][0], text.encode(encoding))
    assert image.classes[0] == name


def test_bytes_that_are_not_of_the_declared_encoding(tmp_path: Path) -> None:
    text = b'<?xml version="1.0" encoding="gbk"?>\n<annotation>\n' + b"\xff\xff</annotation>"
    with pytest.raises(UserError, match=r"P1.xml:3: expected gbk text"):
        read_text(tmp_path, SAMPLES["dior-r"][0], text)
    with pytest.raises(UserError, match=r"P1.xml:1: "):
        read_text(tmp_path, SAMPLES["dior-r"][0], text.replace(b"gbk", b"klingon"))
