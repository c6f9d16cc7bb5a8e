"""Weights of the public GGHL code: its names, the outputs that it computes with them, and what is refused."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor

from cfg.schema import Config, ModelConfig
from modelR.build import build_model
from modelR.detectors.gghl.decode import MAX_EDGE_DIST, decode_level
from modelR.reference_weights import expected_tensors, read_reference_weights, reference_name
from tests.modelR.published import GOLDEN, entries, hollow_state, in_form, seeded_state
from utils.checkpoint import CheckpointError
from utils.quads.glides import mask_glides
from utils.records import LevelPrediction

NAMES = [f"class{number}" for number in range(15)]
FORMS = ["plain", "plain-ddp", "training", "training-ddp"]
SPP = "_GGHL__fpn._Neck__conv_set_0.1._SPP__outconv"


def saved(content: object, path: Path, **how: Any) -> Path:
    torch.save(content, path, **how)
    return path


@pytest.mark.parametrize("num_classes", [1, 15, 18])
def test_every_tensor_has_its_counterpart_of_the_same_shape(num_classes: int) -> None:
    ours = {reference_name(key): tuple(tensor.shape) for key, tensor in expected_tensors(num_classes).items()}
    assert ours == {entry.name: entry.shape for entry in entries(num_classes)}
    assert len(ours) == 464


def test_heads_begin_with_the_coarse_level() -> None:
    assert reference_name("heads.0.location.0.conv.weight").startswith("_GGHL__fpn._Neck__loc2.0.")
    assert reference_name("heads.2.classes.1.bias") == "_GGHL__fpn._Neck__cls0.1.bias"


def raw(prediction: LevelPrediction) -> NDArray[np.float32]:
    """(1, G, G, 25) in the order of the reference."""
    one = [prediction.ratio_logit.unsqueeze(-1), prediction.objectness_logit.unsqueeze(-1)]
    parts = [prediction.edge_logits, prediction.glide_logits, *one, prediction.class_logits]
    return torch.cat(parts, dim=-1).numpy()


def decoded(prediction: LevelPrediction) -> NDArray[np.float32]:
    """(G * G, 29) in the order of the reference."""
    level = decode_level(prediction)
    low, high = level.hboxes.split(2, dim=-1)
    glides = mask_glides(level.glides, level.area_ratio)
    ratio, objectness = level.area_ratio.unsqueeze(-1), level.objectness.unsqueeze(-1)
    boxes = [(low + high) / 2, high - low, glides, ratio, level.edge_dists]
    return torch.cat([*boxes, objectness, level.class_scores], dim=-1).flatten(0, 2).numpy()


@pytest.fixture(scope="module")
def seeded() -> dict[str, Tensor]:
    return seeded_state()


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_every_published_form_gives_all_tensors(form: str, seeded: dict[str, Tensor], tmp_path: Path) -> None:
    state = read_reference_weights(saved(in_form(seeded, form), tmp_path / "last.pt"), NAMES)
    used = {reference_name(key): tensor for key, tensor in state.items()}
    assert len(state) == len(used) == 464
    assert all(torch.equal(used[name], tensor) for name, tensor in seeded.items())


@pytest.mark.slow
def test_golden_outputs(seeded: dict[str, Tensor], tmp_path: Path) -> None:
    model = build_model(Config(model=ModelConfig(size="large")), 15).eval()
    model.load_state_dict(read_reference_weights(saved(seeded, tmp_path / "best.pt"), NAMES))
    golden = np.load(GOLDEN / "expected.npz")
    with torch.inference_mode():
        predictions = model(torch.from_numpy(golden["images"]))
    assert [prediction.stride for prediction in predictions] == [8, 16, 32]
    for prediction in predictions:
        assert_near(raw(prediction), golden[f"raw_stride{prediction.stride}"])


def assert_near(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * float(np.abs(expected).max()))


def test_golden_decoding_of_the_golden_outputs() -> None:
    """Distances end at 4,096 px here, while the reference lets them become infinite."""
    golden = np.load(GOLDEN / "expected.npz")
    predictions = []
    for stride in (8, 16, 32):
        level = torch.from_numpy(golden[f"raw_stride{stride}"])
        edges, glides, ratio, objectness, classes = level.split([4, 4, 1, 1, 15], dim=-1)
        predictions.append(
            LevelPrediction(edges, glides, ratio.squeeze(-1), objectness.squeeze(-1), classes, stride)
        )
    found, expected = np.concatenate([decoded(p) for p in predictions]), golden["decoded"]
    edges, rest = slice(9, 13), [*range(4, 9), *range(13, 29)]
    np.testing.assert_allclose(found[:, rest], expected[:, rest], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found[:, edges], np.minimum(expected[:, edges], MAX_EDGE_DIST), rtol=1e-5)
    bounded = (expected[:, edges] < MAX_EDGE_DIST).all(axis=1)
    assert bounded.sum() > 100
    for cell, wanted in zip(found[bounded], expected[bounded], strict=True):
        assert_near(cell[:4], wanted[:4])


@pytest.mark.parametrize("kind", [torch.float16, torch.float64])
def test_order_and_precision_of_the_file_do_not_matter(kind: torch.dtype, tmp_path: Path) -> None:
    values = {name: torch.tensor(float(number)) for number, name in enumerate(hollow_state(1))}
    state = {
        name: values[name].to(tensor.dtype if tensor.dtype == torch.int64 else kind).expand(tensor.shape)
        for name, tensor in reversed(hollow_state(1).items())
    }
    found = read_reference_weights(saved(state, tmp_path / "best.pt"), ["ship"])
    assert list(found) == list(expected_tensors(1))
    for key, tensor in found.items():
        assert tensor.dtype == (torch.int64 if key.endswith("tracked") else torch.float32)
        assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        assert tensor.flatten()[-1] == values[reference_name(key)]


@pytest.mark.parametrize("core", ["_core", "core"])
def test_numbers_of_any_numpy_are_read_and_nothing_of_numpy_is_called(
    core: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = in_form(hollow_state(1), "training")
    file = saved(content, tmp_path / "last.pt", _use_new_zipfile_serialization=False)
    data = file.read_bytes()
    assert data.count(b"numpy") >= 2
    file.write_bytes(data.replace(b"cnumpy._core.", f"cnumpy.{core}.".encode()))
    assert len(read_reference_weights(file, ["ship"])) == 464
    monkeypatch.setattr("modelR.reference_weights.NAMES", ())
    with pytest.raises(CheckpointError, match=r"multiarray\.scalar, which needs code"):
        read_reference_weights(file, ["ship"])


class Payload:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.place),)


def without(name: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda state: {key: value for key, value in state.items() if key != name}


def with_shape(name: str, *shape: int) -> Callable[[dict[str, Tensor]], object]:
    return lambda state: state | {name: torch.zeros(shape)}


FAULTS: dict[str, tuple[Callable[[dict[str, Tensor]], object], str]] = {
    "one short": (without("_GGHL__fpn._Neck__loc1.1.bias"), r"_Neck__loc1\.1\.bias \(10,\) is missing$"),
    "a count short": (
        without("_GGHL__fpn._Neck__conv12up._Convolutional__norm.num_batches_tracked"),
        r"conv12up\._Convolutional__norm\.num_batches_tracked \(\) is missing$",
    ),
    "no SPP": (
        lambda state: {key: value for key, value in state.items() if SPP not in key},
        r"_SPP__outconv\.weight \(512, 2048, 1, 1\) is missing$",
    ),
    "one more": (
        lambda state: state | {"_GGHL__fpn.loc3": torch.zeros(2)},
        r"expected 464 .* found _GGHL__fpn\.loc3",
    ),
    "another shape": (
        with_shape(f"{SPP}.weight", 512, 1536, 1, 1),
        r"_SPP__outconv\.weight: expected \(512, 2048, 1, 1\) floats, found \(512, 1536, 1, 1\) floats$",
    ),
    "whole numbers": (
        lambda state: state | {f"{SPP}.bias": torch.zeros(512, dtype=torch.int64)},
        r"_SPP__outconv\.bias: expected \(512,\) floats, found \(512,\) int64$",
    ),
    "no tensor": (
        lambda state: state | {f"{SPP}.bias": 3.5},
        r"bias: expected \(512,\) floats, found float$",
    ),
    "heads of other classes": (
        with_shape("_GGHL__fpn._Neck__cls2.1.bias", 16),
        r"_Neck__cls2\.1\.bias: expected \(15,\) floats, found \(16,\)",
    ),
    "other classes": (
        lambda _: hollow_state(16),
        r"for each of 16 classes, got 15 \(class0, class1, class2, \.\.\)$",
    ),
    "a timm network": (
        lambda _: timm.create_model("resnet10t").state_dict(),
        r"_Darknet53__conv\._Convolutional__conv\.weight \(32, 3, 3, 3\) is missing, found conv1\.0\.weight$",
    ),
    "ours": (
        lambda _: {"format": 1, "config": "", "classes": [], "model": {}},
        r"a checkpoint of this project already",
    ),
    "nothing": (lambda _: {}, r"_Darknet53__conv\._Convolutional__conv\.weight \(32, 3, 3, 3\) is missing$"),
    "a tensor": (lambda state: state[f"{SPP}.bias"], r"expected a state dict, found Tensor$"),
}


@pytest.mark.parametrize("form", ["plain", "training-ddp"])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_first_tensor_that_does_not_fit_is_named(fault: str, form: str, tmp_path: Path) -> None:
    change, line = FAULTS[fault]
    content = change(hollow_state())
    if isinstance(content, dict) and fault != "ours":
        content = in_form(content, form)
    file = saved(content, tmp_path / "best.pt")
    with pytest.raises(CheckpointError, match=line) as raised:
        read_reference_weights(file, NAMES)
    assert str(raised.value).startswith(f"{file}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_not_run(zipped: bool, tmp_path: Path) -> None:
    content = in_form(hollow_state(), "training") | {"epoch": Payload(tmp_path / "ran")}
    file = saved(content, tmp_path / "last.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"found (posix|nt)\.mkdir, which needs code to be run$"):
        read_reference_weights(file, NAMES)
    assert not (tmp_path / "ran").exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_bare_pickle_is_not_run_either(tmp_path: Path) -> None:
    file = tmp_path / "best.pt"
    file.write_bytes(pickle.dumps({"model": Payload(tmp_path / "ran")}))
    with pytest.raises(CheckpointError, match=r"expected .*, found "):
        read_reference_weights(file, NAMES)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_named(share: float, tmp_path: Path) -> None:
    file = saved(in_form(hollow_state(), "plain"), tmp_path / "best.pt")
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CheckpointError, match=r"best\.pt: expected a checkpoint, found (an empty|a damaged)"):
        read_reference_weights(file, NAMES)
