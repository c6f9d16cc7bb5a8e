from pathlib import Path

import pytest

from utils.weights import find_weights


def test_bare_names_are_looked_up_and_paths_are_taken_as_they_are(tmp_path: Path) -> None:
    inside = tmp_path / "net.weights"
    inside.touch()
    assert find_weights("net.weights", tmp_path) == inside
    assert find_weights(inside, tmp_path / "elsewhere") == inside
    with pytest.raises(FileNotFoundError, match=r"other\.weights: .*looked for other\.weights, .*other"):
        find_weights("other.weights", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"looked for a/net\.weights$"):
        find_weights("a/net.weights", tmp_path)
