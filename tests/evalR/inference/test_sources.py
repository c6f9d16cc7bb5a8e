from pathlib import Path

import pytest

from evalR.inference.sources import find_sources, output_names
from utils.errors import UserError


def test_names_are_stems_where_they_can_be() -> None:
    paths = [
        Path(p) for p in ("a.jpg", "a.png", "b.png", "x/c.tif", "y/c.tif", "y/x_c.tif", "detections.png")
    ]
    names = list(output_names(paths).values())
    assert names == ["a.jpg", "a.png", "b", "x_c.tif", "y_c.tif", "x_c", "detections.png"]
    assert output_names([]) == {}


def test_no_two_names_are_alike() -> None:
    paths = [Path(p) for p in ("a/b.png", "a_b.png", "c/a/b.png", "A_B.PNG", "c/a_b.png", "c/a/b.jpg")]
    names = [name.lower() for name in output_names(paths).values()]
    assert len(set(names)) == len(paths)


def test_a_folder_holds_images_and_videos(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.mp4", "c.txt", ".hidden.png", "d.xml"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in find_sources([str(tmp_path)])] == ["a.mp4", "b.PNG"]
    found = find_sources([f"{tmp_path}/**/*.PNG", str(tmp_path)])
    assert [path.name for path in found] == ["b.PNG", "a.mp4"]


def test_a_list_without_lines(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\n")
    with pytest.raises(UserError, match=r"list\.txt: expected a list"):
        find_sources([str(tmp_path / "list.txt")])


def test_a_vrt_is_taken_by_name_or_pattern_and_folders_are_no_images(tmp_path: Path) -> None:
    for name in ("a.tif", "b.vrt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "c.tif").mkdir()
    for word, names in ((tmp_path, ["a.tif"]), (f"{tmp_path}/*", ["a.tif", "b.vrt"])):
        assert [path.name for path in find_sources([str(word)])] == names


def test_an_empty_word_is_not_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.tif").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="got an empty word"):
        find_sources([""])


def test_a_link_gives_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"")
    (tmp_path / "b.tif").symlink_to("a.tif")
    (found,) = find_sources([str(tmp_path / "b.tif")])
    assert output_names([found]) == {found: "b"}


def test_weights_among_the_images_are_told_how_to_be_given(tmp_path: Path) -> None:
    (tmp_path / "best.pt").write_bytes(b"")
    with pytest.raises(UserError, match=r"best\.pt: expected an image.*found weights: weights=.*best\.pt$"):
        find_sources([str(tmp_path / "best.pt"), str(tmp_path)])
