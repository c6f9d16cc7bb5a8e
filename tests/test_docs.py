"""What the documentation names exists, and its example is what it says."""

import ast
import contextlib
import re
from pathlib import Path

import numpy as np
import pytest

from cfg.schema import Config, DataConfig
from dataloadR.annotations import read_split
from datasets_tools.known_formats import READERS, WRITERS
from evalR.scoring.columns import to_found, to_truth
from evalR.scoring.metrics import measure
from evalR.scoring.protocol import named_data, protocol_of
from evalR.scoring.result_sets import Results
from modelR.parts import BACKBONES
from utils.images import read_image
from utils.records import Annotation

ROOT = Path(__file__).parents[1]
PATTERNS = ("*.md", "docs/**/*.md", "*/README.md", "tests/*/README.md")
PAGES = sorted({page for pattern in PATTERNS for page in ROOT.glob(pattern)})
SPEC = sorted(ROOT.glob("docs/spec/*.md"))
FOLDERS = ("cfg", "utils", "dataloadR", "modelR", "evalR", "datasets_tools", "gghl", "tests", "benchmarks")
CODE = [*sorted(ROOT.glob("*.py")), *(p for folder in FOLDERS for p in sorted((ROOT / folder).rglob("*.py")))]
SECTION = r"\d+(?:\.\d+)*"
NUMBER = r"(?<![\w.])-?\d+(?:\.\d+)?(?:e-?\d+)?"


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


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_table_has_a_head(page: Path) -> None:
    """Without one, readers of Markdown show lines and strokes."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, line = table.splitlines()[:2]
        assert re.fullmatch(r"\|(?:-+\|)+", line), f"{page_name(page)}: {head}"
        widths = [len(re.findall(r"(?<!\\)\|", re.sub(r"`[^`]*`", "", row))) for row in table.splitlines()]
        assert len(set(widths)) == 1, f"{page_name(page)}: {head}"


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_names_of_a_file_stand_in_it(page: Path) -> None:
    """ "`build_method` of `modelR/build.py`": names move, and sentences stay."""
    for names, path in re.findall(
        r"((?:`\w+`(?:, | and |, and for [^`]+, )?)+) (?:of|in) `([\w/]+\.py)`", page.read_text()
    ):
        files = [file for file in CODE if f"/{file.relative_to(ROOT)}".endswith(f"/{path}")]
        assert files, f"{page_name(page)}: {path}"
        text = "".join(file.read_text() for file in files)
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"\b{name}\b", text), f"{page_name(page)}: {name} of {path}"


def first_cells(page: str) -> set[str]:
    """Return the words in code of the first two cells of all rows of tables."""
    rows = re.findall(r"^\|([^|]*\|[^|]*)\|", (ROOT / page).read_text(), re.MULTILINE)
    return set(re.findall(r"`([\w/-]+)`", "\n".join(rows)))


def test_detectors_backbones_and_formats_have_a_row_each() -> None:
    yamls = {path.stem for path in (ROOT / "cfg/detectors").glob("*.yaml")}
    assert yamls | set(BACKBONES) <= first_cells("docs/detectors.md")
    assert set(READERS) | set(WRITERS) <= first_cells("docs/formats.md")
    model = (ROOT / "cfg/model.py").read_text()
    assert [name for name in BACKBONES if not re.search(rf"\b{name}\b", model)] == []


def test_the_index_names_every_page() -> None:
    index = ROOT / "docs/README.md"
    linked = {(index.parent / link).resolve() for link in re.findall(r"\]\(([^):#]+)\)", index.read_text())}
    pages = {page for page in (ROOT / "docs").glob("*.md") if page != index}
    rooms = set((ROOT / "docs/decisions").glob("*.md"))
    listed = re.findall(r"\]\((decisions/.+?)\)", (ROOT / "docs/decisions.md").read_text())
    assert rooms == {ROOT / "docs" / name for name in listed}
    assert pages | {ROOT / "docs/spec/README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"} <= linked


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


def sections() -> list[str]:
    """Return the numbers of all sections of the specification, in the order of its pages."""
    headings = (re.findall(rf"^#+ ({SECTION}) ", page.read_text(), re.MULTILINE) for page in SPEC)
    return [number for page in headings for number in page]


def cited(text: str) -> list[str]:
    """Return the sections that a text cites, as `spec 2.3`, `spec 6.2, 6.3` or `spec 2.3 to 2.5`."""
    places = re.findall(rf"\bspec(?:ification)?\s+({SECTION}(?:(?:, | and | to ){SECTION})*)", text)
    return [number for place in places for number in re.findall(SECTION, place)]


def test_sections_stand_once_and_in_order() -> None:
    for page in SPEC:
        own = re.findall(rf"^#+ ({SECTION}) ", page.read_text(), re.MULTILINE)
        assert own == sorted(own, key=lambda number: [int(part) for part in number.split(".")]), page.name
        assert len({number.split(".")[0] for number in own}) == 1, page.name
        assert page.name == "README.md" or f"({page.name})" in (ROOT / "docs/spec/README.md").read_text()
    assert len(sections()) == len(set(sections())) > 50


def test_every_citation_of_the_code_is_a_section() -> None:
    known, count = set(sections()), 0
    for path in CODE:
        text = path.read_text()
        numbers = cited(text)
        count += len(numbers)
        assert set(numbers) <= known, f"{page_name(path)}: {sorted(set(numbers) - known)}"
        if path != Path(__file__):
            elsewhere = re.findall(r"spec/\w+\.md \d[\d.]*|\bdesign,? (?:section )?\d|\(FIX\b", text)
            assert not elsewhere, f"{page_name(path)}: {elsewhere[0]} is no page of docs/"
    assert count > 80


def test_every_citation_of_the_pages_is_a_section() -> None:
    known = set(sections())
    method = re.findall(
        rf"^\| ({SECTION}(?:, {SECTION})*) \|", (ROOT / "docs/method.md").read_text(), re.MULTILINE
    )
    assert len(method) > 30
    assert {number for row in method for number in row.split(", ")} <= known
    for page in PAGES:
        assert set(cited(page.read_text())) <= known, page_name(page)
    for page in SPEC:  # pages cite their own kind without a word before it
        plain = re.findall(rf" \(({SECTION})\)", page.read_text())
        assert set(plain) <= known, f"{page.name}: {sorted(set(plain) - known)}"


def constants() -> dict[str, list[float]]:
    """Return the numbers that stand at the top of the modules under a name of capitals."""
    found: dict[str, list[float]] = {}
    for path in CODE:
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.Assign):
                continue
            target = node.targets[0]
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=True))
            for name, value in pairs:
                with contextlib.suppress(NameError, SyntaxError, TypeError):
                    number = eval(ast.unparse(value), {"__builtins__": {}})
                    found.setdefault(ast.unparse(name), []).append(number)
    return found


def test_constants_and_defaults_of_the_specification_are_those_of_the_code() -> None:
    known, config = constants(), Config()
    count = 0
    for page in SPEC:
        text = page.read_text()
        for name, shown in re.findall(rf"`([A-Z_]+)` = ({NUMBER}(?: - {NUMBER})?)", text):
            whole, *less = (float(part) for part in shown.split(" - "))
            assert whole - sum(less) in known.get(name, []), f"{page.name}: {name}"
            count += 1
        for section, key, shown in re.findall(r"`(\w+)\.(\w+)` = (\([^)]*\)|[\d.e-]*\d)", text):
            value = getattr(getattr(config, section), key)
            assert value == ast.literal_eval(shown), f"{page.name}: {section}.{key}"
            count += 1
    assert count > 35
