"""One golden file of post-processing that Python, with torch and without, and the page are held to."""

import json
from typing import Any

import numpy as np
import pytest
import shapely
import torch

from cfg.schema import EvalConfig
from evalR.inference.postprocess import postprocess
from evalR.outputs.dota import dota_lines
from evalR.outputs.geojson import to_geojson
from evalR.runtime.decisions import Rules, detections_of
from tests.deploy.javascript import call, need_node
from tests.paths import OWN_GOLDEN
from utils.images import letterbox_matrix, warp_image
from utils.palette import class_colour, hex_colour
from utils.quads.iou import pairwise_quad_iou
from utils.records import Detections, Frame, SceneDetections
from utils.tiles import tile_starts

CASES: list[dict[str, Any]] = json.loads((OWN_GOLDEN / "postprocess.json").read_text())
NAMES = [case["name"] for case in CASES]
LAYOUT = {"trainingScale": None, "maxDownscale": None, "isCentred": True, "overlap": 0.25}


def best_scores(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the score and the class of each candidate."""
    scores = np.array(case["scores"], np.float32)
    if case["labels"] is None:
        return scores.max(axis=1), scores.argmax(axis=1)
    return scores, np.array(case["labels"], np.int64)


def eval_config(rules: dict[str, Any]) -> EvalConfig:
    return EvalConfig(
        score_threshold=rules["scoreThreshold"],
        pre_nms=rules["preNms"],
        nms_iou=rules["nmsIou"],
        vote_iou=rules["voteIou"],
        support=rules["support"],
        max_detections=rules["maxDetections"],
    )


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_python_gives_the_golden_detections(case: dict[str, Any]) -> None:
    best, labels = best_scores(case)
    scores = torch.zeros(1, len(best), case["classes"])
    scores[0, torch.arange(len(best)), torch.from_numpy(labels)] = torch.from_numpy(best)
    quads = torch.tensor(case["quads"], dtype=torch.float32).reshape(1, -1, 4, 2)
    size, target = tuple(case["size"]), tuple(case["input"])
    frame = Frame(letterbox_matrix(size, target).astype(np.float32), size, target)
    (found,) = postprocess(quads, scores, [frame], eval_config(case["rules"]))
    compare(found.quads.reshape(-1, 8).tolist(), found.scores.tolist(), found.labels.tolist(), case)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_the_runtime_gives_the_golden_detections(case: dict[str, Any]) -> None:
    own = case["rules"]
    numbers = (own[key] for key in ("scoreThreshold", "preNms", "nmsIou", "voteIou", "support"))
    rules = Rules(np.zeros(case["classes"]), *numbers, own["maxDetections"])
    outputs = {
        name: np.array([case[name]], dtype)
        for name, dtype in (("quads", np.float32), ("scores", np.float32), ("labels", np.int32))
        if case[name] is not None
    }
    outputs["quads"] = outputs["quads"].reshape(1, -1, 8)
    matrix = letterbox_matrix(tuple(case["size"]), tuple(case["input"]))
    names = tuple(f"class{number}" for number in range(case["classes"]))
    found = detections_of(outputs, 0, matrix, rules, names)
    compare(found.quads.reshape(-1, 8).tolist(), found.scores.tolist(), found.labels.tolist(), case)


def compare(quads: list[Any], scores: list[float], labels: list[int], case: dict[str, Any]) -> None:
    golden = case["found"]
    assert labels == golden["labels"]
    np.testing.assert_allclose(scores, golden["scores"], atol=1e-5)
    expected = np.array(golden["quads"]).reshape(-1, 8)
    np.testing.assert_allclose(np.array(quads).reshape(-1, 8), expected, atol=1e-3)


def test_the_golden_scores_are_those_that_a_slow_loop_keeps() -> None:
    """Overlaps by GEOS; support alone would change a score."""
    for case in CASES:
        if case["rules"]["support"]:
            continue
        rules = case["rules"]
        scores, labels = best_scores(case)
        shapes = [shapely.Polygon(np.reshape(quad, (4, 2))) for quad in case["quads"]]
        shapes = [shape if shape.is_valid else shape.convex_hull for shape in shapes]
        order = [row for row in np.argsort(-scores, kind="stable") if scores[row] > rules["scoreThreshold"]]
        kept: list[int] = []
        for row in order[: rules["preNms"]]:
            rivals = [k for k in kept if labels[k] == labels[row]]
            if all(overlap(shapes[k], shapes[row]) <= rules["nmsIou"] for k in rivals):
                kept.append(row)
        kept = kept[: rules["maxDetections"]]
        assert labels[kept].tolist() == case["found"]["labels"]
        np.testing.assert_allclose(scores[kept], case["found"]["scores"], atol=1e-5)


def overlap(a: shapely.Polygon, b: shapely.Polygon) -> float:
    return float(a.intersection(b).area / a.union(b).area)


def test_the_page_gives_the_golden_detections() -> None:
    need_node()
    layouts = [["postprocess.js", "layout", [c["size"], c["input"], LAYOUT]] for c in CASES]
    shown = call(layouts)
    candidates = call(
        [
            [
                "postprocess.js",
                "candidatesOf",
                [
                    {
                        "quads": np.ravel(case["quads"]).tolist(),
                        "scores": np.ravel(case["scores"]).tolist(),
                        **({} if case["labels"] is None else {"labels": case["labels"]}),
                    },
                    {**case["rules"], "classes": list(range(case["classes"]))},
                ],
            ]
            for case in CASES
        ]
    )
    moved = call(
        [
            ["postprocess.js", "toImage", [found, place["scale"], place["windows"][0]]]
            for found, place in zip(candidates, shown, strict=True)
        ]
    )
    kept = call(
        [
            ["postprocess.js", "suppress", [found, case["rules"]]]
            for found, case in zip(moved, CASES, strict=True)
        ]
    )
    for case, found in zip(CASES, kept, strict=True):
        assert {*found[0]} == {"quad", "score", "label"} if found else case["name"] == "nothing"
        columns = ([one[key] for one in found] for key in ("quad", "score", "label"))
        compare(*columns, case)


def random_quads(count: int) -> np.ndarray:
    """Return quads (N, 4, 2) of every kind, the last without area."""
    rng = np.random.default_rng(3)
    quads = rng.uniform(0, 20, (count, 4, 2))
    quads[: count // 2] = np.sort(quads[: count // 2], axis=1)[:, [0, 1, 3, 2]]
    quads[-1] = quads[-1, :1]
    quads[-2] = quads[0]
    return quads


def test_overlaps_of_any_quads_are_those_of_python() -> None:
    need_node()
    quads = random_quads(24)
    prepared = call([["quads.js", "prepare", [quad]] for quad in quads.reshape(-1, 8).tolist()])
    found = call([["quads.js", "iou", [a, b]] for a in prepared for b in prepared])
    expected = pairwise_quad_iou(torch.from_numpy(quads), torch.from_numpy(quads)).numpy()
    assert (expected > 0.2).mean() > 0.1
    np.testing.assert_allclose(np.reshape(found, expected.shape), expected, atol=1e-9)


def test_tiles_begin_where_python_begins_them() -> None:
    need_node()
    cases = [
        (length, side, overlap)
        for length in (1, 64, 65, 100, 1000)
        for side in (64, 96)
        for overlap in (0.25, 20)
    ]
    found = call([["postprocess.js", "tileStarts", list(case)] for case in cases])
    wanted = [tile_starts(n, side, round(o * side) if o < 1 else int(o)) for n, side, o in cases]
    assert found == wanted


def test_large_images_are_cut_at_the_scale_of_training() -> None:
    need_node()
    learned = {**LAYOUT, "trainingScale": [0.5, 0.8, 1.25]}
    cases = [
        ([128, 128], LAYOUT, (0.5, True)),
        ([129, 128], LAYOUT, (1, False)),
        ([129, 128], {**LAYOUT, "maxDownscale": 3}, (64 / 129, True)),
        ([130, 130], learned, (64 / 130, True)),  # 2 % are nothing
        ([140, 140], learned, (0.8, False)),
        ([20, 20], learned, (1.25, True)),
    ]
    found = call([["postprocess.js", "layout", [size, [64, 64], rules]] for size, rules, _ in cases])
    for place, (size, _, (scale, is_whole)) in zip(found, cases, strict=True):
        assert (place["scale"], place["isWhole"]) == (pytest.approx(scale), is_whole), size
        for x, y in place["windows"] if not is_whole else []:
            assert 0 <= x <= size[1] * scale
            assert 0 <= y <= size[0] * scale
    assert found[-1]["windows"] == [[-19, -19]]  # 25 px in 64


def test_parts_that_a_tile_cuts_give_way_to_whole_objects() -> None:
    """A long object that two tiles cut, one that both see, and a part that nobody sees whole."""
    need_node()

    def box(
        left: float, top: float, right: float, bottom: float, score: float, is_cut: bool
    ) -> dict[str, Any]:
        quad = [left, top, right, top, right, bottom, left, bottom]
        return {"quad": quad, "score": score, "label": 0, "isCut": is_cut}

    whole, again = box(10, 10, 30, 20, 0.7, False), box(11, 10, 31, 20, 0.6, False)
    part = box(10, 10, 16, 20, 0.9, True)  # surer, and a part nonetheless
    alone, other = box(60, 10, 64, 20, 0.5, True), {**box(10, 10, 30, 20, 0.4, False), "label": 1}
    rules = {"mergeIou": 0.3}
    (found, none) = call(
        [
            ["postprocess.js", "mergeTiles", [[part, whole, again, alone, other], rules]],
            ["postprocess.js", "mergeTiles", [[], rules]],
        ]
    )
    assert [one["quad"] for one in found] == [one["quad"] for one in (whole, alone, other)]
    assert none == []
    window = ([48, 0], [64, 64], [64, 200], 4)  # corner, tile, image, edge
    quads = {(10, 10, 30, 20): False, (1, 10, 30, 20): True, (10, -5, 30, 20): False, (10, 10, 62, 20): True}
    told = call([["postprocess.js", "isCut", [box(*q, 1, True)["quad"], *window]] for q in quads])
    assert told == [*quads.values()]


@pytest.mark.parametrize("size", [(64, 64), (50, 90), (40, 30), (200, 131), (333, 417)])
def test_pixels_are_those_of_python(size: tuple[int, int]) -> None:
    """Whole images, averaged below a half; other processors round halves in another order."""
    need_node()
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    target = (64, 64)
    given = {"pixels": image.reshape(-1).tolist(), "size": size, "target": target}
    (found,) = call([["../../tests/deploy/whole.mjs", "wholeOf", [given]]])
    expected = warp_image(image, letterbox_matrix(size, target), target).astype(int)
    difference = np.abs(np.reshape(found, (3, *target)).transpose(1, 2, 0) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 1e-3


def test_colours_are_those_of_python() -> None:
    need_node()
    labels = [0, 1, 19, 20, 45, 63, 99, 100, 137]
    found = call([["texts.js", "colourOf", [label]] for label in labels])
    assert found == [hex_colour(class_colour(label)) for label in labels]


def test_texts_are_those_of_python() -> None:
    need_node()
    rng = np.random.default_rng(4)
    quads = rng.uniform(0, 90, (5, 4, 2)).round(1)
    scores, labels = np.array([0.9, 0.8, 0.52, 0.5, 0.25], np.float32), np.array([0, 1, 1, 0, 2])
    classes = ("plane", "large  ship", "étang")
    scene = SceneDetections(
        "a/b.png", (90, 90), Detections(*map(torch.from_numpy, (quads, scores, labels))), classes, None
    )
    found = [
        {"quad": quad.ravel().tolist(), "score": float(score), "label": int(label)}
        for quad, score, label in zip(quads, scores, labels, strict=True)
    ]
    dota, text, none = call(
        [
            ["texts.js", "dotaText", [found, classes]],
            ["texts.js", "geoJson", [found, classes, "b.png"]],
            ["texts.js", "geoJson", [[], classes, "b.png"]],
        ]
    )
    assert dota == "".join(dota_lines(scene))
    collection, expected = json.loads(text), to_geojson(scene)
    for one, other in zip(collection.pop("features"), expected.pop("features"), strict=True):
        assert one["geometry"] == other["geometry"]
        assert one["properties"]["class"] == other["properties"]["class"]
        assert one["properties"]["score"] == pytest.approx(other["properties"]["score"], abs=1e-4)
    assert collection == expected
    assert json.loads(none)["features"] == []
