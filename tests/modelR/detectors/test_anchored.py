"""RetinaNet and YOLOv3-R: losses against a loop over anchors, candidates against a search, networks."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import shapely
import torch
from torch import Tensor, nn

from cfg.load import ConfigError, load_config
from cfg.schema import Config, EvalConfig
from dataloadR.assign.max_iou import AnchorTargets
from dataloadR.assign.shapes import Pyramid
from modelR.build import build_method, build_model
from modelR.detectors.anchored.coding import AnchorPrediction
from modelR.method import Method
from modelR.network import Network
from tests.dataloadR.assign.test_max_iou import crowd
from tests.dataloadR.assign.test_targets import objects_of, random_objects
from tests.fake_gpu import FakeGpu
from tests.training_runs import ROOT
from utils.errors import UserError

NAMES = ("retinanet", "yolov3_r")
CLASSES = 4
MOST_WAITS = 1  # of a loss
LEVELS = {"retinanet": (8, 16, 32, 64, 128), "yolov3_r": (8, 16, 32)}
Place = tuple[int, int, int, int]


def yaml_of(name: str) -> str:
    return str(ROOT / "cfg/detectors" / f"{name}.yaml")


def config_of(name: str, *words: str) -> Config:
    return load_config(yaml_of(name), words)


def method_of(name: str, *words: str) -> Method:
    return build_method(config_of(name, *words), CLASSES)


def network_of(name: str, *words: str, classes: int = CLASSES) -> Network:
    torch.manual_seed(0)
    small = ["model.backbone=timm/resnet18"] if name == "retinanet" else []
    return build_model(config_of(name, "model.size=nano", *small, *words), classes)


def prediction_of(name: str, target: AnchorTargets, seed: int) -> AnchorPrediction:
    generator = torch.Generator().manual_seed(seed)
    shape = target.anchor_owner.shape
    fields = [
        torch.randn(*shape, *more, generator=generator, dtype=torch.float64)
        for more in ((4,), (4,), (), (), (CLASSES,))
    ]
    return AnchorPrediction(
        *fields[:3], None if name == "retinanet" else fields[3], fields[4], stride=target.stride
    )


def case(name: str, seed: int, *words: str) -> tuple[list[AnchorPrediction], list[AnchorTargets], Method]:
    method = method_of(name, *words)
    objects = random_objects(np.random.default_rng(seed), 2, (96, 128)) if seed else objects_of([])
    targets = list(method.targets(objects, Pyramid(2, 96, 128, method.strides), None))
    return [prediction_of(name, level, seed + k) for k, level in enumerate(targets)], targets, method


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def entropy(x: float, y: float) -> float:
    return -y * math.log(sigmoid(x)) - (1 - y) * math.log(1 - sigmoid(x))


def focal(x: float, y: float) -> float:
    return (0.25 * y + 0.75 * (1 - y)) * (y - sigmoid(x)) ** 2 * entropy(x, y)


def smooth(away: float) -> float:
    away = abs(away)
    return away**2 * 4.5 if away < 1 / 9 else away - 1 / 18


def anchor_sides(name: str, level: int, stride: int, a: int) -> tuple[float, float]:
    if name == "retinanet":
        size, aspect = 4 * stride * 2 ** (a // 3 / 3), (0.5, 1.0, 2.0)[a % 3]
        return size / math.sqrt(aspect), size * math.sqrt(aspect)
    numbers = config_of(name).yolov3.anchors
    return numbers[6 * level + 2 * a] * stride, numbers[6 * level + 2 * a + 1] * stride


def box_numbers(name: str, p: AnchorPrediction, at: Place, level: int) -> tuple[list[float], list[float]]:
    """Return what stands for centre and sides, and the box in pixels."""
    _, j, i, a = at
    w, h = anchor_sides(name, level, p.stride, a)
    x, y = (i + 0.5) * p.stride, (j + 0.5) * p.stride
    u, v, lw, lh = p.box[at].tolist()
    if name == "retinanet":
        numbers, cx, cy = [u, v, lw, lh], x + u * w, y + v * h
    else:
        su, sv = sigmoid(u) * 1.05 - 0.025, sigmoid(v) * 1.05 - 0.025
        numbers, cx, cy = [su, sv, lw, lh], (i + su) * p.stride, (j + sv) * p.stride
    w, h = w * math.exp(lw), h * math.exp(lh)
    return numbers, [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]


def true_numbers(name: str, truth: list[float], at: Place, level: int, stride: int) -> list[float]:
    _, j, i, a = at
    w, h = anchor_sides(name, level, stride, a)
    cx, cy = (truth[0] + truth[2]) / 2, (truth[1] + truth[3]) / 2
    logs = [math.log((truth[2] - truth[0]) / w), math.log((truth[3] - truth[1]) / h)]
    if name == "retinanet":
        return [(cx - (i + 0.5) * stride) / w, (cy - (j + 0.5) * stride) / h, *logs]
    return [cx / stride - i, cy / stride - j, *logs]


def read_shape(name: str, p: AnchorPrediction, at: Place) -> tuple[list[float], float]:
    logits, ratio = p.glide_logits[at].tolist(), min(max(float(p.ratio_logit[at]) / 6 + 0.5, 0), 1)
    if name == "retinanet":
        return [(max(sigmoid(x), 0.01) - 0.01) / 0.99 for x in logits], ratio
    return [min(max(x / 6 + 0.5, 0), 1) for x in logits], ratio


def quad_of(box: list[float], glides: list[float]) -> list[tuple[float, float]]:
    (x0, y0, x1, y1), (a, b, c, d) = box, glides
    w, h = x1 - x0, y1 - y0
    return [(x0 + a * w, y0), (x1, y0 + b * h), (x1 - c * w, y1), (x0, y1 - d * h)]


def shape_terms(name: str, p: AnchorPrediction, t: AnchorTargets, at: Place, level: int) -> dict[str, float]:
    owner, limit = int(t.anchor_owner[at]), 0.9 if name == "retinanet" else 0.85
    truth, true_ratio = t.truth.hboxes[owner].tolist(), float(t.truth.area_ratio[owner])
    glides, ratio = read_shape(name, p, at)
    true_glides = [0.0] * 4 if true_ratio > limit else t.truth.glides[owner].tolist()
    masked = [0.0] * 4 if true_ratio > limit and ratio > limit else glides
    numbers, box = box_numbers(name, p, at, level)
    expected = true_numbers(name, truth, at, level, t.stride)
    _, rows, columns, _ = t.anchor_owner.shape
    share = (truth[2] - truth[0]) * (truth[3] - truth[1]) / (rows * columns * t.stride**2)
    scale = 1.0 if name == "retinanet" else 2 - min(share, 1)
    own, true = (
        shapely.Polygon(quad_of(b, [0.0] * 4 if true_ratio > limit else g))
        for b, g in ((box, glides), (truth, true_glides))
    )
    mix = float(t.truth.mix_weight[owner])
    return {
        "box": mix * scale * sum(smooth(a - b) for a, b in zip(numbers, expected, strict=True)),
        "glide": mix * sum(smooth(a - b) for a, b in zip(masked, true_glides, strict=True)),
        "ratio": mix * smooth(ratio - true_ratio),
        "quad_iou": mix * scale * (1 - own.intersection(true).area / own.union(true).area),
    }


def places(level: AnchorTargets) -> Iterator[Place]:
    yield from np.ndindex(*level.anchor_owner.shape)


def slow_losses(
    name: str, predictions: list[AnchorPrediction], targets: list[AnchorTargets]
) -> dict[str, float]:
    sums: dict[str, Any] = dict.fromkeys(
        ("foreground", "background", "classes", "box", "glide", "ratio", "quad_iou"), 0.0
    )
    for k, (p, t) in enumerate(zip(predictions, targets, strict=True)):
        for at in places(t):
            owner = int(t.anchor_owner[at])
            mix = float(t.truth.mix_weight[owner]) if owner >= 0 else 1.0
            hot = [float(c == int(t.truth.labels[owner])) if owner >= 0 else 0.0 for c in range(CLASSES)]
            logits = list(zip(p.class_logits[at].tolist(), hot, strict=True))
            if owner >= 0:
                for term, value in shape_terms(name, p, t, at, k).items():
                    sums[term] += value
            if name == "retinanet":
                if not t.anchor_ignore[at]:
                    sums["classes"] += mix * sum(focal(x, y) for x, y in logits)
                continue
            assert p.objectness_logit is not None
            if owner >= 0:
                sums["foreground"] += mix * entropy(float(p.objectness_logit[at]), 1)
                sums["classes"] += mix * sum(entropy(x, y) for x, y in logits)
            elif not t.anchor_ignore[at]:
                sums["background"] += entropy(float(p.objectness_logit[at]), 0)
    return sums


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(5))
def test_equals_the_slow_loop(name: str, seed: int) -> None:
    words = ["loss.location=quad_iou", "loss.location_beside_jol=true"] if seed % 2 else []
    predictions, targets, method = case(name, seed, *words)
    count = method.count(targets)
    assert int(count) == sum(int((level.anchor_owner >= 0).sum()) for level in targets)
    found = method.loss(predictions, targets, count.clamp(min=1))
    assert tuple(found) == method.terms
    assert ("quad_iou" in found) == bool(seed % 2)
    expected = slow_losses(name, predictions, targets)
    for term, value in found.items():
        own = float(value) * max(float(count), 1)
        assert own == pytest.approx(expected[term], rel=1e-6, abs=1e-9), term


def test_gains_multiply_their_terms() -> None:
    for name, section in (("retinanet", "retinanet"), ("yolov3_r", "yolov3")):
        predictions, targets, method = case(name, 1)
        plain = method.loss(predictions, targets, torch.ones(()))
        for term in ("classes", "box", "glide", "ratio"):
            more = method_of(name, f"{section}.{term}=3").loss(predictions, targets, torch.ones(()))
            for other, value in more.items():
                assert float(value) == pytest.approx(float(plain[other]) * (3 if other == term else 1))


def test_harmonised_losses_are_the_means_of_the_paper() -> None:
    """One bin and no momentum: every example weighs 1, so GHM is a plain mean over the examples."""
    words = ["loss.classification=ghm", "loss.regression=ghm", "loss.ghm_class_bins=1", "loss.ghm_box_bins=1"]
    words += ["loss.ghm_class_momentum=0", "loss.ghm_box_momentum=0"]
    predictions, targets, method = case("retinanet", 2, *words)
    count = method.count(targets)
    found = method.loss(predictions, targets, count)
    errors, gaps = [], []
    for k, (p, t) in enumerate(zip(predictions, targets, strict=True)):
        for at in places(t):
            owner = int(t.anchor_owner[at])
            mix = float(t.truth.mix_weight[owner]) if owner >= 0 else 1.0
            hot = [float(owner >= 0 and c == int(t.truth.labels[owner])) for c in range(CLASSES)]
            if not t.anchor_ignore[at]:
                logits = zip(p.class_logits[at].tolist(), hot, strict=True)
                errors += [mix * entropy(x, y) for x, y in logits]
            if owner >= 0:
                true = true_numbers("retinanet", t.truth.hboxes[owner].tolist(), at, k, t.stride)
                away = [a - b for a, b in zip(box_numbers("retinanet", p, at, k)[0], true, strict=True)]
                gaps += [mix * (math.sqrt(d * d + 0.15**2) - 0.15) for d in away]
    assert float(found["classes"]) == pytest.approx(np.mean(errors))
    assert float(found["box"]) == pytest.approx(np.mean(gaps))


@pytest.mark.parametrize("name", NAMES)
def test_harmony_counts_all_that_is_judged(name: str) -> None:
    predictions, targets, method = case(name, 3, "loss.classification=ghm", "loss.regression=ghm")
    losses = method.loss(predictions, targets, method.count(targets))
    assert all(value.isfinite() for value in losses.values())
    counts = {key: int(own.sum()) for key, own in method.loss.histograms().items()}  # type: ignore[attr-defined]
    positive = int(method.count(targets))
    judged = sum(int((~level.anchor_ignore).sum()) for level in targets)
    expected = {"glide": 4 * positive, "ratio": positive, "box": 4 * positive}
    if name == "retinanet":
        assert counts == expected | {"classes": CLASSES * judged}
    else:
        assert counts == expected | {"classes": CLASSES * positive, "objectness": judged}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "words",
    [
        (),
        ("loss.classification=bce", "loss.regression=balanced_l1", "loss.location=kld"),
        ("loss.classification=qfl", "loss.location=quad_giou"),
        ("loss.classification=vfl", "loss.location=probiou", "loss.location_beside_jol=true"),
        ("loss.classification=ghm", "loss.regression=ghm", "loss.location=ciou"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("seed", [0, 4])
def test_every_choice_is_finite_with_its_gradients(name: str, words: tuple[str, ...], seed: int) -> None:
    predictions, targets, method = case(name, seed, *words)
    fields = [field.requires_grad_() for level in predictions for field in level if isinstance(field, Tensor)]
    terms = method.loss(predictions, targets, method.count(targets).clamp(min=1))
    assert tuple(terms) == method.terms
    torch.stack(list(terms.values())).sum().backward()
    assert all(value.isfinite() for value in terms.values())
    for field in fields:
        assert field.grad is not None
        assert field.grad.isfinite().all()
    if not seed:
        shape = [value for term, value in terms.items() if term not in ("classes", "background")]
        assert not any(shape)


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("loss.classification=ghm", "loss.regression=ghm")], ids=len)
@pytest.mark.parametrize("name", NAMES)
def test_two_thousand_objects_have_finite_losses(name: str, words: tuple[str, ...]) -> None:
    method = method_of(name, *words)
    targets = list(method.targets(crowd(2000), Pyramid(1, 512, 512, method.strides), None))
    predictions = [prediction_of(name, level, k) for k, level in enumerate(targets)]
    fields = [field.requires_grad_() for level in predictions for field in level if isinstance(field, Tensor)]
    count = method.count(targets)
    assert count > 500  # of those that lie on the image
    terms = method.loss(predictions, targets, count)
    torch.stack(list(terms.values())).sum().backward()
    assert all(value.isfinite() for value in terms.values())
    assert all(field.grad is not None and field.grad.isfinite().all() for field in fields)


@pytest.mark.parametrize("name", NAMES)
def test_candidates_are_the_best_anchors_of_each_level(name: str) -> None:
    section = "retinanet" if name == "retinanet" else "yolov3"
    predictions, targets, method = case(name, 1, f"{section}.top_k=20")
    quads, scores = method.candidates(predictions, EvalConfig(ratio_check=False, class_weight=0.3))
    expected: list[list[tuple[float, int, list[tuple[float, float]]]]] = []
    for k, p in enumerate(predictions):
        own = []
        for at in places(targets[k]):
            if at[0] != 1:
                continue
            label = int(p.class_logits[at].argmax())
            score = sigmoid(float(p.class_logits[(*at, label)]))
            if p.objectness_logit is not None:
                score = sigmoid(float(p.objectness_logit[at])) ** 0.7 * score**0.3
            glides, ratio = read_shape(name, p, at)
            glides = [0.0] * 4 if ratio > (0.9 if name == "retinanet" else 0.85) else glides
            own.append((score, label, quad_of(box_numbers(name, p, at, k)[1], glides)))
        expected.append(sorted(own, reverse=True)[:20])
    flat = [row for level in expected for row in level]
    assert quads.shape == (2, len(flat), 4, 2)
    assert scores.shape == (2, len(flat), CLASSES)
    for n, (score, label, quad) in enumerate(flat):
        row = [0.0] * CLASSES
        row[label] = score
        assert scores[1, n].tolist() == pytest.approx(row)
        torch.testing.assert_close(quads[1, n], torch.tensor(quad, dtype=torch.float64))


@pytest.mark.parametrize("name", NAMES)
def test_perfect_outputs_return_the_objects(name: str) -> None:
    """What the targets ask for, written into the outputs, is read back as the quads."""
    objects = random_objects(np.random.default_rng(7), 1, (96, 128))
    method = method_of(name)
    targets = list(method.targets(objects, Pyramid(1, 96, 128, method.strides), None))
    predictions = [prediction_of(name, level, 0) for level in targets]
    for k, (p, t) in enumerate(zip(predictions, targets, strict=True)):
        p.class_logits.fill_(-20)
        for at in places(t):
            owner = int(t.anchor_owner[at])
            if owner < 0:
                continue
            x, y, lw, lh = true_numbers(name, t.truth.hboxes[owner].tolist(), at, k, t.stride)
            if name == "yolov3_r":
                x, y = (float(torch.logit(torch.tensor((v + 0.025) / 1.05).double())) for v in (x, y))
                glides = [6 * g - 3 for g in t.truth.glides[owner].tolist()]
            else:
                glides = torch.logit(t.truth.glides[owner] * 0.99 + 0.01, eps=1e-12).tolist()
            p.box[at] = torch.tensor([x, y, lw, lh])
            p.glide_logits[at] = torch.tensor(glides)
            p.ratio_logit[at] = 6 * float(t.truth.area_ratio[owner]) - 3
            p.class_logits[(*at, int(t.truth.labels[owner]))] = 20
    quads, scores = method.candidates(predictions, EvalConfig(ratio_check=False, class_weight=1.0))
    found = quads[0][scores[0].amax(dim=-1) > 0.9]
    owners = {int(n) for t in targets for n in t.anchor_owner.unique() if n >= 0}
    assert owners
    for n in owners:
        truth = targets[0].truth
        slanted = float(truth.area_ratio[n]) <= 0.85
        if slanted or float(truth.area_ratio[n]) > 0.9:
            quad = quad_of(truth.hboxes[n].tolist(), truth.glides[n].tolist())
            away = (found - torch.tensor(quad, dtype=torch.float64)).abs().flatten(1).amax(dim=-1)
            assert float(away.min()) < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_on_a_gpu_is_the_same_and_waits_little(name: str) -> None:
    words = ("loss.classification=ghm", "loss.regression=ghm", "loss.location=quad_giou")
    predictions, targets, method = case(name, 5, *words)
    count = method.count(targets)
    expected = method.loss(predictions, targets, count)
    again = method_of(name, *words)
    with FakeGpu() as gpu:
        assert isinstance(again.loss, nn.Module)
        gpu.put(again.loss)
        found = again.loss(gpu.put(predictions), gpu.put(targets), gpu.put(count))
        assert len(gpu.waits) <= MOST_WAITS, gpu.counts()
    for term, value in expected.items():
        torch.testing.assert_close(found[term].values, value)


def test_parameters() -> None:
    with torch.device("meta"):
        retina = build_model(config_of("retinanet"), 15)
        assert sum(p.numel() for p in retina.parameters()) == 36_723_992
        assert sum(p.numel() for p in retina.backbone.parameters()) == 23_508_032
        assert sum(p.numel() for p in retina.neck.parameters()) == 2_688_512 + 4_718_848 + 590_080
        yolo = build_model(config_of("yolov3_r"), 15)
        gghl = build_model(Config(), 15)
        heads = [(18 * c * c + 4 * c) + (2 * c + 1) * 3 * 25 for c in (128, 256, 512)]
        assert sum(p.numel() for p in yolo.heads.parameters()) == sum(heads)
        for a, b in ((yolo.backbone, gghl.backbone), (yolo.neck, gghl.neck)):
            assert sum(p.numel() for p in a.parameters()) == sum(p.numel() for p in b.parameters())
        assert sum(p.numel() for p in yolo.parameters()) == 62_675_137


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(64, 96), (160, 128)])
def test_maps_are_as_large_as_the_targets(name: str, size: tuple[int, int]) -> None:
    model = network_of(name)
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    levels = model(images)
    targets = model.method.targets(objects_of([]), Pyramid.of(images, model.method.strides), None)
    for level, target, stride in zip(levels, targets, LEVELS[name], strict=True):
        assert level.stride == target.stride == stride
        shape = target.anchor_owner.shape
        assert shape[1:3] == (math.ceil(size[0] / stride), math.ceil(size[1] / stride))
        assert level.box.shape == level.glide_logits.shape == (*shape, 4)
        assert level.ratio_logit.shape == shape
        assert (level.objectness_logit is None) == (name == "retinanet")
        assert level.class_logits.shape == (*shape, CLASSES)
    fields = [field for level in levels for field in level if isinstance(field, Tensor)]
    sum(field.square().mean() for field in fields).backward()  # type: ignore[union-attr]
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


def test_levels_of_retinanet_share_one_head() -> None:
    model = network_of("retinanet").eval()
    features = torch.randn(1, 64, 4, 4)
    with torch.no_grad():
        outputs = [head(features) for head in model.heads]
    assert [level.stride for level in outputs] == list(LEVELS["retinanet"])
    for level in outputs[1:]:
        assert torch.equal(level.box, outputs[0].box)
        assert torch.equal(level.class_logits, outputs[0].class_logits)


@pytest.mark.parametrize("classes", [1, 5])
def test_training_starts_from_few_objects(classes: int) -> None:
    with torch.no_grad():
        for level in network_of("retinanet", classes=classes).eval()(torch.rand(1, 3, 128, 128)):
            assert level.class_logits.mean().item() == pytest.approx(-math.log(99), abs=0.5)
        for level in network_of("yolov3_r", classes=classes).eval()(torch.rand(1, 3, 128, 128)):
            assert level.objectness_logit.mean().item() == pytest.approx(-math.log(99), abs=0.2)
            assert level.box.mean().item() == pytest.approx(0, abs=0.2)
            even = -math.log(max(classes - 1, 1))
            assert level.class_logits.mean().item() == pytest.approx(even, abs=0.2)


@pytest.mark.parametrize("name", NAMES)
def test_class_outputs_alone_depend_on_the_classes(name: str) -> None:
    one, five = (network_of(name, classes=n) for n in (1, 5))
    shapes = {key: value.shape for key, value in one.state_dict().items()}
    other = {key: value.shape for key, value in five.state_dict().items()}
    assert {key for key in shapes if shapes[key] != other[key]} == set(one.class_outputs())
    with pytest.raises(ValueError, match="at least one class, got 0"):
        network_of(name, classes=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_export_computes_the_same(name: str) -> None:
    model = network_of(name).eval()
    program = torch.export.export(
        model, (torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8),), strict=False
    )
    other = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    with torch.no_grad():
        pairs = zip(program.module()(other), model(other), strict=True)
        for found, expected in pairs:
            for a, b in zip(found, expected, strict=True):
                assert not isinstance(a, Tensor) or torch.allclose(a, b, atol=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["model.neck=top_down"],
            r"model\.neck: expected none or fpn, retinanet has levels at strides 8",
        ),
        (["model.neck=pafpn"], r"model\.neck: expected none or fpn, retinanet has levels"),
        (["model.neck=center"], r"model\.neck: expected another than center, which has one level"),
    ],
)
def test_necks_without_the_levels_of_retinanet_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        network_of("retinanet", *words)


def test_other_levels_and_necks() -> None:
    model = network_of("retinanet", "model.strides=8,16,32", "model.neck=pafpn")
    assert [level.stride for level in model(torch.rand(1, 3, 64, 64))] == [8, 16, 32]
    anchors = ",".join(["4,4"] * 12)
    model = network_of("yolov3_r", "model.strides=4,8,16,32", f"yolov3.anchors={anchors}")
    assert [level.stride for level in model(torch.rand(1, 3, 64, 64))] == [4, 8, 16, 32]


def test_settings_that_contradict_each_other_are_refused() -> None:
    message = r"yolov3\.anchors: expected 12 numbers, width and height of 3 anchors for each of the levels"
    with pytest.raises(UserError, match=message + r" at strides 8, 16, got 18"):
        method_of("yolov3_r", "model.strides=8,16")
    message = r"retinanet\.negative_iou: expected at most retinanet\.positive_iou=0\.5, got 0\.6"
    with pytest.raises(ConfigError, match=message):
        config_of("retinanet", "retinanet.negative_iou=0.6")
    with pytest.raises(ConfigError, match=r"loss\.iou: read by .* alone, model\.detector is retinanet"):
        config_of("retinanet", "loss.iou=2")
    with pytest.raises(ConfigError, match=r"assign\.rule: read by .* alone, model\.detector is yolov3_r"):
        config_of("yolov3_r", "assign.rule=atss")
    with pytest.raises(ConfigError, match=r"yolov3\.top_k: read by yolov3_r alone"):
        config_of("retinanet", "yolov3.top_k=9")
