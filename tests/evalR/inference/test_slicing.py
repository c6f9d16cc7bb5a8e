"""Whole or tiles: every image is shown at the scale at which training showed its images."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cfg.load import config_settings, load_config, load_config_text
from cfg.schema import Config
from evalR.inference.slicing import check_pixels, log_slicing, scene_grid, whole_scale
from evalR.inference.splits import predict_any, predict_split
from tests.methods import GGHL
from utils.images import ImageError
from utils.records import Annotation, LevelPrediction

AT_ONE = "data.training_scale=[1.0,1.0,1.0]"
HALF = "data.training_scale=[0.48,0.5,0.55]"
MIXED = "data.training_scale=[0.7,1.0,2.0]"


def config(*words: str) -> Config:
    return load_config(None, ["data.image_size=320", "data.workers=0", "train.amp=false", *words])


@pytest.mark.parametrize(
    ("size", "words", "expected"),
    [
        ((320, 320), [AT_ONE], 1.0),
        ((321, 200), [AT_ONE], 320 / 321),  # nobody sees it
        ((640, 640), [AT_ONE], None),
        ((330, 320), [AT_ONE], None),
        ((100, 160), [AT_ONE], 1.0),  # not enlarged
        ((640, 640), [HALF], 0.5),  # shrunk as in training
        ((660, 660), [HALF], 320 / 660),
        ((700, 700), [HALF], None),
        ((320, 320), [HALF], 0.55),  # shrunk, although it would fit
        ((400, 300), [MIXED], 0.8),
        ((160, 160), [MIXED], 2.0),
        ((80, 80), [MIXED], 2.0),
        ((500, 500), [MIXED], None),
        ((640, 640), [AT_ONE, "data.max_downscale=2"], 0.5),  # as asked for
        ((641, 640), [AT_ONE, "data.max_downscale=2"], None),
        ((320, 320), [AT_ONE, "predict.tile=320"], None),
        ((320, 320), [AT_ONE, "predict.rates=[1.0]"], None),
        ((640, 640), [], 0.5),  # not known: by the size
        ((641, 640), [], None),
        ((160, 160), [], 2.0),
        ((640, 640), ["predict.rates=[1.0]"], None),
        ((640, 640), ["predict.rates=[2.0]"], None),
    ],
    ids=str,
)
def test_the_scale_of_a_whole_image(size: tuple[int, int], words: list[str], expected: float | None) -> None:
    assert whole_scale(size, config(*words)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("words", "rates"),
    [
        ([AT_ONE], (1.0,)),
        ([HALF], (0.5,)),
        ([], (1.0,)),
        ([HALF, "predict.rates=[1.0]"], (1.0,)),
        ([HALF, "eval.scales=[1.0,2.0]"], (0.5, 1.0)),
    ],
    ids=str,
)
def test_tiles_are_cut_at_the_median_scale(words: list[str], rates: tuple[float, ...]) -> None:
    assert scene_grid(config(*words)).rates == rates


def test_one_line_says_what_is_done(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log_slicing([(640, 640)] * 5 + [(320, 320)] * 2, config(AT_ONE, "predict.overlap=0"))
    assert caplog.messages == ["2 images shown whole at a scale of 1, 5 images cut into 20 tiles at 1"]
    caplog.clear()
    log_slicing([(640, 640), (600, 600)], config(HALF))
    assert caplog.messages == ["2 images shown whole at a scale of 0.5 to 0.533"]
    caplog.clear()
    log_slicing([], config(AT_ONE))
    assert caplog.messages == []


def test_a_checkpoint_without_the_figure_says_so(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    settings = config_settings(config()) | {"predict.rates": [1.0], "data.max_downscale": 2.0}
    settings |= {"predict.score_threshold": 0.3}
    del settings["data.training_scale"]
    text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items())
    old = load_config_text(text, "old.pt")
    assert old == config(), "what nobody chose is the default of today"
    told = load_config_text(text, "old.pt", ["data.training_scale=0.5,0.5,0.5"])
    assert (whole_scale((640, 640), told), scene_grid(told).rates) == (0.5, (0.5,))
    Path(tmp_path, "old.yaml").write_text(text)
    assert load_config(Path(tmp_path, "old.yaml")) == config()
    log_slicing([(640, 640)], old)
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "does not say at what scale it was trained" in line
    assert whole_scale((640, 640), old) == 0.5
    assert whole_scale((641, 641), old) is None


class Scales(nn.Module):
    """Remembers how wide the white square of each input is."""

    method = GGHL

    def __init__(self) -> None:
        super().__init__()
        self.widths: list[int] = []

    def forward(self, images: Tensor) -> list[LevelPrediction]:
        white = (images[:, 0] > 200).any(dim=1)
        self.widths += white.sum(dim=1).tolist()
        shape = images[:, 0, 4::8, 4::8].shape
        none = torch.full(shape, -20.0)
        edges = torch.zeros(*shape, 4)
        return [LevelPrediction(edges, edges, none, none, none.unsqueeze(-1), stride=8)]


def square(side: int, width: int) -> np.ndarray:
    image = np.zeros((side, side, 3), np.uint8)
    image[:width, :width] = 255
    return image


@pytest.mark.parametrize(("words", "factor"), [([AT_ONE], 1.0), ([HALF], 0.5)], ids=str)
def test_the_network_sees_every_image_at_that_scale(
    words: Sequence[str], factor: float, tmp_path: "pytest.TempPathFactory"
) -> None:
    """Small, fitting and large images, in batches and one by one."""
    sides = [100, 320, 640] if factor == 1 else [582, 640, 1400]
    none = np.zeros((0, 4, 2), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int8)
    annotations = []
    for side in sides:
        path = tmp_path / f"{side}.png"  # type: ignore[operator]
        cv2.imwrite(str(path), square(side, 80))
        annotations.append(Annotation(str(path), *none))
    setting, seen = config(*words), Scales()
    predict_split(seen, annotations, setting, torch.device("cpu"))
    single = Scales()
    for side in sides:
        predict_any(single, square(side, 80), setting, torch.device("cpu"))
    for widths in (seen.widths, single.widths):
        shown = [width for width in widths if width]
        assert len(shown) >= 3
        assert shown == pytest.approx([80 * factor] * len(shown), abs=0.1 * 80 * factor)


def test_sizes_that_a_header_claims_are_asked_about(caplog: pytest.LogCaptureFixture) -> None:
    config = Config()
    size = (10_000_000, 10_000_000)
    with pytest.raises(ImageError, match=r"a\.tif: 10,000,000 x 10,000,000 px .*=10{14}$"):
        check_pixels(size, config, "a.tif")
    check_pixels((300_000, 300_000), config, "a.tif")
    caplog.set_level("INFO")
    log_slicing([size], config)
    assert "the largest image has 10,000,000 x 10,000,000 px" in caplog.text
