from pathlib import Path

import pytest

from datasets_tools.doctor.images import examine, examine_images
from tests.dataloadR.damaged import EARLY, LATE, write


def test_every_kind_of_damage_is_a_fault_and_no_error(tmp_path: Path) -> None:
    paths = write(tmp_path / "early", EARLY, 3 * len(EARLY)) + write(tmp_path / "late", LATE, len(LATE))
    for path, facts in zip(paths, examine_images(paths, False, 1), strict=True):
        assert facts.fault.startswith(str(path)), path
        assert facts.size is None
        assert facts.kinds in ((), ("animated-image",))


@pytest.mark.parametrize("fast", [False, True])
def test_what_is_no_file(tmp_path: Path, fast: bool) -> None:
    (tmp_path / "folder.png").mkdir()
    for name in ("folder.png", "nowhere.png"):
        assert examine(tmp_path / name, fast).fault.startswith(str(tmp_path / name))


def test_no_images() -> None:
    assert examine_images([], False, 2) == []
