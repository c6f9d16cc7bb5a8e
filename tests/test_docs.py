"""What the documentation names exists, and its example is what it says."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest

from cfg.schema import Config, DataConfig
from dataloadR.annotations import read_split
from evalR.columns import to_found, to_truth
from evalR.metrics import measure
from evalR.protocol import named_data, protocol_of
from evalR.result_sets import Results
from utils.images import read_image
from utils.records import Annotation

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("*/README.md"))]


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def functions(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_tests_and_pages_exist(page: Path) -> None:
    text = page.read_text()
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text):
        assert name in functions(path), f"{page_name(page)}: {path}::{name}"
    for link in re.findall(r"\]\(([^):#]+)\)", text):
        if not link.startswith("docs/figures/"):  # pictures are made by running the project
            assert (page.parent / link).exists(), f"{page_name(page)}: {link}"


def test_every_function_of_the_method_exists() -> None:
    rows = [line for line in (ROOT / "docs/method.md").read_text().splitlines() if line.startswith("|")]
    path, checked = "", 0
    for row in rows:
        for word in re.findall(r"`(.+?)`", row.split("|")[3]):
            if word.endswith(".py"):
                path = word
            else:
                assert re.search(
                    rf"(def |class |^){word.split('.')[0]}\b", (ROOT / path).read_text(), re.MULTILINE
                ), word
                checked += 1
    assert checked > 50


def test_every_setting_of_the_page_exists() -> None:
    known = {f"{name}.{key}" for name, section in Config() for key in type(section).model_fields}
    table = re.findall(
        r"^\| (`\w+\.\w+`(?:, `\w+\.\w+`)*) \|", (ROOT / "docs/settings.md").read_text(), re.MULTILINE
    )
    named = [key for row in table for key in re.findall(r"`(\w+\.\w+)`", row) if "." in key]
    named = [key for key in named if key.split(".")[0] in dict(Config())]
    assert len(named) > 20
    assert set(named) <= known


def test_the_example_reads_as_documented() -> None:
    (annotation,), classes = read_split(ROOT / "dataR/example", "val")
    labels = (ROOT / "dataR/example/labelTxt/harbour.txt").read_text()
    assert labels in (ROOT / "dataR/README.md").read_text()
    assert classes == ("ship", "vehicle")
    np.testing.assert_array_equal(
        annotation.quads[2], [[14.5, 50.5], [24.5, 48.5], [25.5, 53.5], [15.5, 55.5]]
    )
    assert annotation.labels.tolist() == [0, 0, 1]
    assert annotation.difficult.tolist() == [0, 0, 1]
    assert read_image(annotation.image_path).shape == (64, 64, 3)


def test_every_key_of_the_metrics_is_explained() -> None:
    annotation = Annotation("a", np.zeros((0, 4, 2), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int8))
    truth = to_truth([annotation])
    found = to_found([])
    protocol = protocol_of(truth, ["a"], named_data(DataConfig(), "val"), ["a"])
    metrics = measure(["a"], truth, Results(found, None), protocol).metrics
    words = set(re.findall(r"\w+", (ROOT / "docs/evaluation.md").read_text()))
    keys = {*metrics, *metrics["protocol"], *metrics["protocol"]["data"], *metrics["task1"]}
    assert keys | set(metrics["task1"]["errors"]) <= words
