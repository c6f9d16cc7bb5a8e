"""A hash that follows the data and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from dataloadR.data_hash import data_hash
from utils.records import Annotation


def annotation(folder: Path, name: str = "a.png", size: int = 10, objects: int = 2) -> Annotation:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(bytes(size))
    quads = np.arange(objects * 8, dtype=np.float32).reshape(objects, 4, 2)
    return Annotation(str(folder / name), quads, np.arange(objects), np.zeros(objects, np.int8))


def test_a_moved_data_set_is_the_same(tmp_path: Path) -> None:
    here, there = (data_hash([annotation(tmp_path / name)]) for name in ("x", "y"))
    assert here == there
    assert data_hash([]) == data_hash(iter([])) != here


def test_the_value_is_fixed(tmp_path: Path) -> None:
    """Runs of different versions of the code are compared by it."""
    assert data_hash([annotation(tmp_path)]) == "370866f7b187112313cd6269f381a1f9"


@pytest.mark.parametrize(
    "field", ["name", "size", "quads", "labels", "difficult", "order", "missing", "split"]
)
def test_every_change_shows(tmp_path: Path, field: str) -> None:
    first, second = annotation(tmp_path), annotation(tmp_path, "b.png", objects=0)
    rows = [first, second]
    before = data_hash(rows)
    match field:
        case "name":
            rows[1] = annotation(tmp_path, "c.png", objects=0)
        case "size":
            rows[1] = annotation(tmp_path, "b.png", size=11, objects=0)
        case "quads":
            rows[0] = first._replace(quads=first.quads + np.float32(1e-3))
        case "labels":
            rows[0] = first._replace(labels=first.labels[::-1])
        case "difficult":
            rows[0] = first._replace(difficult=np.array([0, 1], np.int8))
        case "order":
            rows = rows[::-1]
        case "missing":
            (tmp_path / "b.png").unlink()
        case "split":
            rows = [first]
    assert data_hash(rows) != before
