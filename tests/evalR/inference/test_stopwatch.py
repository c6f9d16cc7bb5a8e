"""The parts of the time, with a clock that is turned by hand."""

import json
from pathlib import Path

import pytest
import torch

from evalR.inference import stopwatch
from evalR.inference.stopwatch import Stopwatch, write_speed


def test_parts_per_image_without_the_first_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: now[0])
    watch = Stopwatch(torch.device("cpu"))
    assert watch.summary() == {"milliseconds_per_image": None, "warm_up_images": 0}
    for images, waited in ((4, 9.0), (4, 0.1), (1, 0.4)):
        for part, seconds in (("data", waited), ("network", 1.0)):
            now[0] += seconds
            watch.lap(part)
        now[0] += 5.0  # nobody's
        watch.turn(images)
        if waited == 9.0:
            assert watch.summary() == {"milliseconds_per_image": None, "warm_up_images": 4}
    assert watch.summary() == {
        "milliseconds_per_image": {"data": pytest.approx(100.0), "network": pytest.approx(400.0)},
        "warm_up_images": 4,
    }


def test_speed_is_written(tmp_path: Path) -> None:
    values = write_speed(tmp_path, 6, 1.5, Stopwatch(torch.device("cpu")))
    assert (values["images_per_second"], values["processes"], values["device"]) == (4.0, 1, "cpu")
    assert json.loads((tmp_path / "speed.json").read_text()) == values
