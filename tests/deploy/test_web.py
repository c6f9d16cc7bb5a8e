"""`deploy/web` in headless Chromium with the wasm engine: the page finds what Python finds."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
import shapely
import torch

from dataloadR.demo.scenes import make_scene
from evalR.export.formats import file_writer
from evalR.export.graph import GraphPlan, QuadGraph, Shaping
from evalR.export.metadata import as_texts, file_metadata
from evalR.inference.load import Trained
from evalR.runtime import Runtime
from tests.deploy.browser import Page, browser_page
from tests.deploy.javascript import need_node
from tests.deploy.test_cpp import CLASSES, INPUT, exported
from tests.evalR.export.networks import config_of, network_of
from utils.tiles import tile_starts

SOURCE = Path(__file__).parents[2] / "deploy" / "web"
PIXELS, SCORES = 0.05, 1e-3  # scores are written with four digits, and one grey level may be another
SIZES = {  # height and width; the input enlarged, reduced, reduced by averaging, and as it is
    "square.png": (180, 180),
    "wide.png": (120, 250),
    "small.png": (60, 70),
    "fitting.png": INPUT,
    "high.png": (190, 100),
}
LARGE = (230, 301)
READY = "['idle', 'done', 'error'].includes(document.body.dataset.state)"
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("web")]
Rows = list[tuple[np.ndarray, str, float]]  # quad (4, 2), class, score


class Site(NamedTuple):
    """A page that is served."""

    folder: Path
    address: str


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Install the page as its README says, and serve it as `python -m http.server` does."""
    need_node()
    if shutil.which("npm") is None:
        pytest.skip("npm is not here")
    folder = tmp_path_factory.mktemp("site") / "web"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("node_modules"))
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    try:
        installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        pytest.skip("npm ci: nothing after 300 s")
    assert not re.search("EUSAGE|EINTEGRITY", installed.stderr), installed.stderr  # the lock file is wrong
    if installed.returncode:
        pytest.skip(f"npm ci: {installed.stderr[:200]!r}")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield Site(folder, f"http://127.0.0.1:{server.server_port}/index.html?engine=wasm")
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not here")
    with browser_page("chromium", tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def images(site: Site) -> dict[str, Path]:
    """Write scenes, and return their paths by name."""
    rng = np.random.default_rng(3)
    paths = {name: site.folder / name for name in (*SIZES, "large.png")}
    for path, size in zip(paths.values(), (*SIZES.values(), LARGE), strict=True):
        cv2.imwrite(str(path), make_scene(rng, size).image[..., ::-1])
    return paths


@pytest.fixture(scope="module")
def model(site: Site) -> Path:
    """Export a network of one convolution, whose quads depend on every pixel."""
    return exported(site.folder, "none").file


def look(page: Page, path: Path) -> str:
    """Choose a file, and return what the page says of it."""
    page.run("document.body.dataset.state = 'waiting'")
    page.choose("#model" if path.suffix == ".onnx" else "#image", path)
    page.wait(READY)
    return status(page)


def status(page: Page) -> str:
    return str(page.run("document.getElementById('status').textContent"))


def set_threshold(page: Page, value: float) -> None:
    """Move the slider."""
    slider = "document.getElementById('threshold')"
    page.run(f"{slider}.value = {value}; {slider}.dispatchEvent(new Event('input'))")


def copied(page: Page, what: str) -> str:
    """Press a button, and return the text that the page shows then."""
    page.run(f"document.getElementById('{what}').click()")
    page.wait("!document.getElementById('text').hidden")
    return str(page.run("document.getElementById('text').value"))


def shown(page: Page) -> Rows:
    features = json.loads(copied(page, "geojson"))["features"]
    rows = []
    for feature in features:
        (ring,) = feature["geometry"]["coordinates"]
        rows.append((np.array(ring[:4]), feature["properties"]["class"], feature["properties"]["score"]))
    return rows


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest move of a coordinate; a ring may begin anywhere, and run the other way."""
    ways = [np.roll(way, turn, axis=0) for way in (b, b[::-1]) for turn in range(4)]
    return float(min(np.abs(a - way).max() for way in ways))


def assert_same(found: Rows, expected: Rows) -> None:
    """Each has one of the others near it; rounding may swap two of nearly the same score."""
    assert len(found) == len(expected)
    rest = list(found)
    for quad, name, score in expected:
        alike = [row for row in rest if row[1] == name and abs(row[2] - score) <= SCORES]
        near = min(alike, key=lambda row: distance(row[0], quad), default=None)
        assert near is not None, (quad, name, score)
        assert distance(near[0], quad) <= PIXELS, (quad, near[0])
        rest = [row for row in rest if row is not near]


def by_python(file: Path, source: Any, threshold: float | None = None) -> Rows:
    found = Runtime(file, threshold)(source)
    return list(zip(found.quads, found.names, found.scores.tolist(), strict=True))


def test_the_page_finds_what_python_finds(
    page: Page, site: Site, model: Path, images: dict[str, Path]
) -> None:
    page.open(site.address)
    assert look(page, model) == "none.onnx: 3 classes, input 128 x 96 px, engine wasm."
    count = 0
    for name, (height, width) in SIZES.items():
        assert look(page, images[name]).startswith(f"{name}: {width} x {height} px, ")
        for threshold in (0.0, 0.5):
            set_threshold(page, threshold)
            expected = by_python(model, images[name], threshold)
            assert_same(shown(page), expected)
            count += len(expected)
    assert count > 50
    lines = copied(page, "dota").splitlines()
    assert len(lines) == len(shown(page))
    assert {line.split(" ")[8] for line in lines} <= {name.replace(" ", "-") for name in CLASSES}


def test_a_detector_of_the_family(page: Page, site: Site, images: dict[str, Path]) -> None:
    """The smallest, untrained."""
    config = config_of("gghl")
    network = network_of(config)
    torch.manual_seed(1)
    for name, values in network.named_parameters():
        if name.endswith("location.1.weight"):
            values += 0.3 * torch.randn_like(values)  # its quads depend on the image then
    (site.folder / "best.pt").touch()
    trained = Trained(network, CLASSES, config, torch.device("cpu"), site.folder / "best.pt")
    plan, shaping = GraphPlan("none", config.eval, 300), Shaping(config.data.input_size, False)
    file = site.folder / "nano.onnx"
    write = file_writer("onnx", QuadGraph(network, plan).eval(), shaping)
    write(file, as_texts(file_metadata(trained, plan, shaping)))
    page.open(site.address)
    assert "input 64 x 64 px" in look(page, file)
    look(page, images["small.png"])
    set_threshold(page, 0)
    expected = by_python(file, images["small.png"], 0.0)
    assert len(expected) > 10
    assert_same(shown(page), expected)


def test_large_images_are_cut_into_tiles(
    page: Page, site: Site, model: Path, images: dict[str, Path]
) -> None:
    page.open(site.address)
    look(page, model)
    said = look(page, images["large.png"])
    height, width = LARGE
    tops, lefts = tile_starts(height, INPUT[0], 24), tile_starts(width, INPUT[1], 32)
    assert said.startswith(f"large.png: {width} x {height} px, {len(tops) * len(lefts)} tiles, ")
    set_threshold(page, 0)
    picture = cv2.imread(str(images["large.png"]))[..., ::-1]
    parts = []
    for top in tops:
        for left in lefts:
            tile = np.ascontiguousarray(picture[top : top + INPUT[0], left : left + INPUT[1]])
            for quad, name, score in by_python(model, tile, 0.0):
                parts.append((quad + np.array([left, top]), name, score, is_cut(quad, left, top)))
    assert_same(shown(page), merged(parts))


def is_cut(quad: np.ndarray, left: int, top: int) -> bool:
    """Say whether a quad comes within half a cell of a border behind which the image goes on."""
    (x_min, y_min), (x_max, y_max) = quad.min(axis=0), quad.max(axis=0)
    inner = left > 0 and x_min < 8, top > 0 and y_min < 8
    outer = (
        left + INPUT[1] < LARGE[1] and x_max > INPUT[1] - 8,
        top + INPUT[0] < LARGE[0] and y_max > INPUT[0] - 8,
    )
    return any((*inner, *outer))


def merged(parts: list[tuple[np.ndarray, str, float, bool]]) -> Rows:
    """Return each object once: a slow loop, overlaps by GEOS."""
    kept: list[tuple[shapely.Polygon, np.ndarray, str, float]] = []
    for quad, name, score, cut in sorted(parts, key=lambda part: -part[2] * (0.6 if part[3] else 1)):
        shape = shapely.Polygon(quad)
        for other, _, own, _ in kept:
            shared = shape.intersection(other).area
            if own == name and (
                shared > 0.3 * shape.union(other).area or (cut and shared > 0.5 * shape.area)
            ):
                break
        else:
            kept.append((shape, quad, name, score))
    return [row[1:] for row in kept]


def test_files_may_be_dropped_and_named_in_the_address(
    page: Page, site: Site, model: Path, images: dict[str, Path]
) -> None:
    page.open(f"{site.address}&model={model.name}&image=square.png")
    page.wait("document.body.dataset.state === 'done'")
    assert page.run("Number(document.getElementById('threshold').value)") == 0.5  # that of the file
    assert_same(shown(page), by_python(model, images["square.png"], 0.5))
    page.run("document.body.dataset.state = 'waiting'")
    page.run(
        "fetch('wide.png').then((answer) => answer.blob()).then((blob) => {"
        "const dropped = new DataTransfer(); dropped.items.add(new File([blob], 'wide.png'));"
        "document.body.dispatchEvent(new DragEvent('drop', {bubbles: true, dataTransfer: dropped})); })"
    )
    page.wait(READY)
    assert status(page).startswith("wide.png: 250 x 120 px, ")
    page.open(f"{site.address}&model=nowhere.onnx")
    page.wait(READY)
    assert status(page) == "nowhere.onnx: cannot be fetched: 404 File not found"


def test_what_is_wrong_stands_in_one_line(
    page: Page, site: Site, model: Path, images: dict[str, Path]
) -> None:
    onnx = pytest.importorskip("onnx")
    newer = onnx.load(model)
    newer.metadata_props[0].value = '"quad-detector/2"'
    onnx.save(newer, site.folder / "newer.onnx")
    (site.folder / "text.onnx").write_text("no model")
    (site.folder / "text.png").write_text("no image")
    (site.folder / "cut.onnx").write_bytes(model.read_bytes()[:-2000])
    page.open(site.address)
    assert look(page, site.folder / "text.onnx").startswith("text.onnx: no ONNX file")
    assert look(page, site.folder / "cut.onnx").startswith("cut.onnx: no ONNX file")
    expected = "newer.onnx: metadata: expected format quad-detector/1, found quad-detector/2"
    assert look(page, site.folder / "newer.onnx") == expected
    assert look(page, site.folder / "text.png").startswith("text.png: cannot be read as an image")
    assert page.run("document.getElementById('status').classList.contains('error')")
    assert look(page, images["small.png"]).endswith("Choose a model.")
    page.choose("#model", model)
    page.wait("document.body.dataset.state === 'done'")  # it looks at the image that is there
    set_threshold(page, 1)
    assert shown(page) == []
    assert page.run("document.getElementById('legend').textContent") == "no objects"


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_desks_and_phones(
    width: int, page: Page, site: Site, model: Path, images: dict[str, Path], tmp_path: Path
) -> None:
    page.open(f"{site.address}&model={model.name}&image=large.png", width, 844)
    assert images
    page.wait("document.body.dataset.state === 'done'")
    assert page.run("document.documentElement.scrollWidth") <= width
    page.picture(tmp_path / "page.png")
    picture = cv2.imread(str(tmp_path / "page.png"))
    assert picture.shape[:2] == (844, width)
    assert np.ptp(picture) > 100
