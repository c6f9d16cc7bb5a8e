"""Settings that are harmless are so to everybody who compares settings."""

import pytest

from cfg.harmless import EVERYWHERE, SHOWS_ONLY
from cfg.load import config_settings, load_config
from cfg.schema import Config
from cfg.words import kinds
from evalR.scoring.differences import HARMLESS_KEYS as OF_RECORDS
from evalR.scoring.differences import differences
from evalR.scoring.protocol import LEFT_OUT, settings_of
from utils.resume import HARMLESS as OF_RUNS
from utils.resume import changed_settings

OTHER = {  # than the default
    "data.workers": "1",
    "data.prefetch": "3",
    "data.cache_gb": "1",
    "eval.batch_size": "1",
    "predict.batch_size": "1",
    "predict.score_threshold": "0.4",
    "predict.classes": "ship",
    "predict.formats": "csv",
    "predict.max_picture": "100",
    "predict.crop_margin": "0.2",
    "predict.crop_limit": "1",
    "predict.quiet": "true",
    "predict.remote": "true",
    "predict.vrt_folders": "/data",
    "predict.max_pixels": "5",
}


def test_all_are_settings_with_a_reason() -> None:
    assert OTHER.keys() == EVERYWHERE.keys()
    assert {*EVERYWHERE, *LEFT_OUT, *OF_RUNS} <= kinds().keys()
    assert all([*EVERYWHERE.values(), *LEFT_OUT.values(), *OF_RUNS.values(), *OF_RECORDS.values()])
    assert {*SHOWS_ONLY} < {*OF_RUNS}


@pytest.mark.parametrize(("key", "value"), OTHER.items())
def test_no_comparison_sees_them(key: str, value: str) -> None:
    before, after = Config(), load_config(None, [f"{key}={value}"])
    assert config_settings(before)[key] != config_settings(after)[key]
    assert changed_settings(before, after) == []
    assert differences({"settings": settings_of(before)}, {"settings": settings_of(after)}) == []


@pytest.mark.parametrize("word", ["data.on_error=skip", "predict.tile=320", "eval.nms_iou=0.3"])
def test_every_comparison_sees_others(word: str) -> None:
    before, after = Config(), load_config(None, [word])
    assert changed_settings(before, after) == [word.partition("=")[0]]
    assert len(differences({"settings": settings_of(before)}, {"settings": settings_of(after)})) == 1
