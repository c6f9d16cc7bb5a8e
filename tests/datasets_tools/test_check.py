import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from dataloadR.demo.scenes import write_demo_scenes
from datasets_tools import check, convert
from datasets_tools.doctor import images
from datasets_tools.doctor.files import locate_splits
from datasets_tools.doctor.findings import KINDS
from tests.datasets_tools.doctor.planted import PLANTED, box, scene, write_planted
from tests.paths import DATA
from utils.errors import UserError

Findings = dict[str, dict[str, Any]]


def examine(root: Path, out: Path, *words: str) -> tuple[int, Findings]:
    code = check.main([str(root), "--out", str(out), "--processes", "1", *words])
    report = json.loads((out / "check.json").read_text(encoding="utf-8"))
    return code, {finding["code"]: finding for finding in report["findings"]}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Findings, Path]:
    root = tmp_path_factory.mktemp("planted")
    write_planted(root / "data")
    code, findings = examine(root / "data", root / "out")
    return code, findings, root


def test_finds_every_planted_defect_and_invents_none(
    planted: tuple[int, Findings, Path],
) -> None:
    code, findings, _ = planted
    assert code == 1
    assert len(PLANTED) > 35
    assert set(findings) == set(PLANTED)
    for name, place in PLANTED.items():
        places = findings[name]["places"]
        assert isinstance(places, list)
        assert places[0].startswith(place), (name, places)
    once = set(PLANTED) - {"rare-class", "class-not-in-val", "class-not-in-train", "approximated"}
    assert {name: findings[name]["total"] for name in once} == dict.fromkeys(once, 1)


class Page(HTMLParser):
    """Counts tags, and sees to it that they are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_one_file_with_figures_that_escapes_names(
    planted: tuple[int, Findings, Path],
) -> None:
    path = planted[2] / "out" / "check.html"
    text = path.read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert not page.open
    assert path.stat().st_size < 2_000_000
    assert page.tags["svg"] == 5
    assert page.tags["img"] == 20
    assert all(link.startswith("data:image/jpeg;base64,") for link in page.links)  # opens without a network
    assert "script" not in page.tags
    assert "&lt;script&gt;" in text
    assert all(f'id="{code}"' in text for code in PLANTED)
    assert "http" not in text.replace("data:image", "")


def test_fast_misses_only_what_must_be_decoded(planted: tuple[int, Findings, Path], tmp_path: Path) -> None:
    _, findings = examine(planted[2] / "data", tmp_path, "--fast")
    assert set(PLANTED) - set(findings) == {"blank-image", "near-duplicate", "duplicate-image"}


def test_splits_and_classes_can_be_given(planted: tuple[int, Findings, Path], tmp_path: Path) -> None:
    code, findings = examine(planted[2] / "data", tmp_path, "--splits", "val", "--classes", "plane", "ship")
    assert code == 1
    assert set(findings) == {"unknown-class"}
    assert findings["unknown-class"]["total"] == 4
    with pytest.raises(UserError, match="no split 'test', found train, val"):
        examine(planted[2] / "data", tmp_path, "--splits", "test")


def test_named_splits(tmp_path: Path) -> None:
    for folder in ("images", "labelTxt", "ImageSets"):
        (tmp_path / folder).mkdir()
    for number in range(4):
        cv2.imwrite(str(tmp_path / "images" / f"p{number}.png"), scene(number))
        (tmp_path / "labelTxt" / f"p{number}.txt").write_text("\n".join(box(20, 9 * n) for n in range(10)))
    (tmp_path / "ImageSets" / "train.txt").write_text("p0\np0\np1.png\np7\n")
    (tmp_path / "ImageSets" / "val.txt").write_text("p1\n")
    (tmp_path / "ImageSets" / "trainval.txt").write_text("p0\np1\n")
    (tmp_path / "ImageSets" / "test.txt").write_text("\n")
    code, findings = examine(tmp_path, tmp_path / "out")
    places = {name: finding["places"] for name, finding in findings.items()}
    assert code == 1
    assert places == {
        "image-missing": ["images/p7"],
        "name-listed-twice": ["train: images/p0.png"],
        "same-content": ["images/p1.png"],
        "not-in-split": ["images/p2.png", "images/p3.png"],
        "no-images": ["test: ImageSets/test.txt"],
    }


def test_folders_of_both_kinds_are_splits(tmp_path: Path) -> None:
    for folder in ("images", "labelTxt", "extra/images", "extra/labelTxt"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "p.txt").write_text("")
    assert list(locate_splits(tmp_path)) == ["extra"]
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets" / "train.txt").write_text("p")
    assert list(locate_splits(tmp_path)) == ["train", "extra"]


def test_a_list_of_large_and_odd_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 1500 * 1500)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    large = cv2.resize(scene(0), (1400, 1400), interpolation=cv2.INTER_CUBIC)
    Image.fromarray(large).save(
        tmp_path / "a" / "1.tif", save_all=True, append_images=[Image.fromarray(large)]
    )
    cv2.imwrite(str(tmp_path / "b" / "1.jpg"), cv2.resize(scene(1), (1600, 1600)))
    cv2.imwrite(str(tmp_path / "b" / "2.png"), cv2.resize(scene(2), (1300, 1300)))
    numbers = "10,20,60,70,0,30.5,20,60,40,40,70,10,50,0.5,0"
    lines = [f"{name} {numbers}\n" for name in ("a/1.tif", "b/1.jpg", "b/2.png")]
    (tmp_path / "train.txt").write_text("".join(lines))
    (tmp_path / "readme.txt").write_text("Images of nowhere.\n")
    for root in (tmp_path, tmp_path / "train.txt"):
        code, findings = examine(root, tmp_path / "out")
        missing = findings.pop("split-missing", None)
        assert bool(missing) == (code == 1) == (root == tmp_path)  # a list alone is only looked at
        assert {name: finding["places"][0] for name, finding in findings.items()} == {
            "stem-twice": "train: 1",
            "several-pages": "a/1.tif",
            "not-decoded": "b/1.jpg",
            "far-larger": "train: 1400 x 1400 px",
            "rare-class": "class0: 3",
        }


def test_the_labels_are_examined_where_the_images_are_missing(tmp_path: Path) -> None:
    (tmp_path / "labelTxt").mkdir()
    for number in range(3):
        (tmp_path / "labelTxt" / f"p{number}.txt").write_text(box(20, 30) + "\n1 2 3\n")
    code, findings = examine(tmp_path, tmp_path / "out")
    assert code == 1
    assert set(findings) == {"image-missing", "malformed-line", "no-splits"}
    assert findings["image-missing"]["detail"] == "3 of 3 images are not there"


def test_no_objects_and_no_images(tmp_path: Path) -> None:
    (tmp_path / "train" / "images").mkdir(parents=True)
    code, findings = examine(tmp_path, tmp_path / "out")
    assert (code, set(findings)) == (1, {"no-images", "split-missing"})
    cv2.imwrite(str(tmp_path / "train" / "images" / "p.png"), scene(0))
    code, findings = examine(tmp_path, tmp_path / "out")
    assert (code, set(findings)) == (1, {"no-objects", "image-without-label", "split-missing"})
    with pytest.raises(UserError, match="expected images/ and labelTxt/"):
        check.main([str(tmp_path / "out")])
    with pytest.raises(UserError, match="got an image"):
        check.main([str(tmp_path / "train" / "images" / "p.png")])
    with pytest.raises(UserError, match="no such folder"):
        check.main([str(tmp_path / "nowhere")])


@pytest.mark.slow
def test_nothing_is_wrong_with_the_demo_scenes(tmp_path: Path) -> None:
    write_demo_scenes(tmp_path / "demo", train=80, val=24)
    code, findings = examine(tmp_path / "demo", tmp_path / "out")
    assert code == 0
    assert [name for name, finding in findings.items() if finding["grade"] != "note"] == []


@pytest.mark.slow
def test_nothing_is_wrong_with_hit_uav(tmp_path: Path) -> None:
    if not (DATA / "hit-uav").is_dir():
        pytest.skip(f"{DATA / 'hit-uav'} is not here")
    code, findings = examine(DATA / "hit-uav", tmp_path)
    assert code == 0
    assert {name: finding["total"] for name, finding in findings.items()} == {"empty-label": 19}


def test_the_truncated_integers_of_hrsc2016_are_reported(tmp_path: Path) -> None:
    if not (DATA / "hrsc2016-labels").is_dir():
        pytest.skip(f"{DATA / 'hrsc2016-labels'} is not here")
    code, findings = examine(DATA / "hrsc2016-labels", tmp_path)
    assert code == 1  # there are no images
    assert findings["image-missing"]["detail"] == "617 of 617 images are not there"
    assert findings["truncated-integers"]["total"] == 1748
    assert {name for name, finding in findings.items() if finding["grade"] != "note"} == {
        "image-missing",
        "split-missing",  # the sample has those of the test set alone
        "truncated-integers",
    }


def test_every_code_is_planted_somewhere() -> None:
    here = Path(__file__).parent
    text = "".join(path.read_text(encoding="utf-8") for path in here.rglob("*.py"))
    assert [code for code in KINDS if f'"{code}"' not in text] == []


@pytest.mark.slow
def test_the_page_opens_in_a_browser(planted: tuple[int, Findings, Path], tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not here")
    picture = tmp_path / "page.png"
    page = planted[2] / "out" / "check.html"
    words = ["--headless", "--no-sandbox", "--window-size=390,4000", f"--screenshot={picture}", page.as_uri()]
    subprocess.run([browser, *words], check=True, timeout=60, capture_output=True)
    assert np.ptp(cv2.imread(str(picture))) > 100


def test_advice_fits_the_labels(tmp_path: Path) -> None:
    """YOLO's labels and lists have no difficult flag that could be given."""
    write_demo_scenes(tmp_path / "dota", train=1, val=1, size=(96, 96))
    for split in ("train", "val"):
        label = tmp_path / "dota" / split / "labelTxt/scene_0000.txt"
        label.write_text("80 10 120 10 120 30 80 30 ship 0\n")
    convert.main([*map(str, (tmp_path / "dota", tmp_path / "yolo")), "--from", "dota", "--to", "yolo-obb"])
    convert.main([*map(str, (tmp_path / "dota", tmp_path / "list")), "--from", "dota", "--to", "list"])
    for name, flag in (("dota", True), ("yolo", False), ("list", False)):
        _, findings = examine(tmp_path / name, tmp_path / "out" / name)
        advice = findings["mostly-outside"]["advice"]
        assert ("difficult flag 2" in advice) == flag
        assert ("--clip" in advice) != flag
        assert findings["same-name"]["advice"].startswith("nothing")


def test_lists_are_found_beside_the_folders_of_their_images(tmp_path: Path) -> None:
    write_demo_scenes(tmp_path / "dota", train=2, val=1, size=(96, 96))
    convert.main([*map(str, (tmp_path / "dota", tmp_path / "list")), "--from", "dota", "--to", "list"])
    assert list(locate_splits(tmp_path / "list")) == ["train", "val"]
    _, findings = examine(tmp_path / "list", tmp_path / "out", "--fast")
    assert not {"no-images", "no-objects", "image-missing"} & set(findings)
