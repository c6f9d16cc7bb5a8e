"""A wrong word leads to the setting that was meant, or says where all are listed; it never misleads."""

import re

import pytest

from cfg.foreign import ADVICE, SAME
from cfg.readers import is_read
from cfg.suggest import LIST_ALL, suggestion
from cfg.words import kinds

MEANT = [  # what somebody types, and every setting that is to be named
    ("train.workers", "data.workers"),
    ("model.epochs", "train.epochs"),
    ("imgsz", "data.image_size"),
    ("img_size", "data.image_size"),
    ("image_size", "data.image_size"),
    ("train.imgsz", "data.image_size"),
    ("data.size", "data.image_size"),
    ("batch", "train.batch_size, eval.batch_size, predict.batch_size"),
    ("batch_size", "train.batch_size, eval.batch_size, predict.batch_size"),
    ("train.batch", "train.batch_size"),
    ("eval.batch", "eval.batch_size"),
    ("data.batch_size", "train.batch_size, eval.batch_size, predict.batch_size"),
    ("trian.batch_size", "train.batch_size"),
    ("train.batch-size", "train.batch_size"),
    ("conf", "predict.score_threshold, eval.score_threshold"),
    ("predict.conf", "predict.score_threshold"),
    ("eval.conf_thres", "eval.score_threshold"),
    ("iou", "eval.nms_iou, loss.iou"),
    ("iou_thres", "eval.nms_iou"),
    ("predict.iou", "eval.nms_iou"),
    ("lr0", "train.lr"),
    ("lr", "train.lr"),
    ("optimizer.lr", "train.lr"),
    ("hyp.lr0", "train.lr"),
    ("train.lrr", "train.lr"),
    ("trian.lr", "train.lr"),
    ("learning_rate", "train.lr"),
    ("lrf", "train.lr_end_share"),
    ("workers", "data.workers"),
    ("num_workers", "data.workers"),
    ("device", "train.device"),
    ("eval.gpu", "train.device"),
    ("train.gpu_id", "train.device"),
    ("epochs", "train.epochs"),
    ("epoch", "train.epochs"),
    ("train.epoch", "train.epochs"),
    ("train.EPOCHS", "train.epochs"),
    ("max_epochs", "train.epochs"),
    ("name", "train.name"),
    ("project", "train.name"),
    ("weights", "train.init, model.weights"),
    ("train.weights", "train.init"),
    ("data", "data.root"),
    ("train.data", "data.root"),
    ("patience", "train.patience"),
    ("resume", "train.resume"),
    ("max_det", "eval.max_detections"),
    ("predict.max_det", "eval.max_detections"),
    ("classes", "data.classes, predict.classes, loss.classes"),
    ("nc", "data.classes"),
    ("data.class", "data.classes"),
    ("seed", "train.seed"),
    ("optimizer", "train.optimizer"),
    ("train.optmizer", "train.optimizer"),
    ("amp", "train.amp"),
    ("half", "train.amp"),
    ("freeze", "model.freeze"),
    ("train.freeze", "model.freeze"),
    ("cache", "data.cache_gb"),
    ("multi_scale", "augment.multi_scale_steps"),
    ("mosaic", "augment.mosaic"),
    ("train.mixup", "augment.mixup"),
    ("fliplr", "augment.flip_horizontal"),
    ("degrees", "augment.rotate_degrees"),
    ("augment.flip", "augment.flip_horizontal, augment.flip_vertical"),
    ("augment.scales", "augment.scale, eval.scales"),
    ("augment", "eval.scales, eval.flips, eval.turns"),
    ("eval.tta", "eval.scales, eval.flips, eval.turns"),
    ("eval.turn", "eval.turns, augment.turn"),
    ("model.name", "model.size, model.backbone"),
    ("train.model", "model.size, model.backbone"),
    ("model.weight", "model.weights"),
    ("model.init", "train.init"),
    ("loss.iuo", "loss.iou"),
    ("loss.cls", "loss.classes"),
    ("data.image_siz", "data.image_size"),
    ("data.valid", "data.val"),
    ("train.val", "data.val"),
    ("train.split", "data.train"),
    ("train.warmup", "train.warmup_epochs"),
    ("train.clip", "train.clip_norm"),
    ("predict.formatz", "predict.formats"),
    ("predict.crops", "predict.formats"),
    ("predict.save", "predict.formats"),
    ("predict.tile_size", "predict.tile"),
    ("eval.threshold", "eval.score_threshold"),
]
CLAUSES = [  # no setting means the same: what is said instead
    ("source", "predict.py photo.jpg"),
    ("save_period", "after each epoch"),
    ("train.save", "last.pt"),
    ("data.format", "recognised by itself"),
    ("train.loss", "--settings loss"),
    ("train.augment", "--settings augment"),
    ("eval.name", "out=DIR"),
    ("predict.weights", "weights=PATH"),
    ("train.out", "train.name"),
    ("gpus", "NGPU=2"),
    ("cos_lr", "cosine"),
    ("data.mean", "normalised inside"),
    ("cfg", "plain word"),
    ("eval.sweep", "test.py takes"),
]
NONE = [
    "xyz.qqqqqq",
    "foo",
    "speed",
    "eval.speed",
    "data.speed",
    "predict.file",
    "predict.time",
    "train.gamma",
    "data.trainval",
    "data.labels",
    "loss.gain",
    "eval.match",
    "model.depth",
    "predict",
    "predict.show",
    "data.mean_size",
    "ab.c",
    "train.",
    ".",
]


@pytest.mark.parametrize(("word", "meant"), MEANT)
def test_what_was_meant(word: str, meant: str) -> None:
    text = suggestion(word)
    assert text.startswith("did you mean ")
    assert re.findall(r"'(.+?)'", text) == meant.split(", ")


@pytest.mark.parametrize(("word", "clause"), CLAUSES)
def test_what_to_do_instead(word: str, clause: str) -> None:
    assert clause in suggestion(word)
    assert "did you mean" not in suggestion(word)


@pytest.mark.parametrize("word", NONE)
def test_nothing_that_misleads(word: str) -> None:
    assert suggestion(word) == LIST_ALL


def test_there_are_enough_words() -> None:
    words = [word for word, _ in (*MEANT, *CLAUSES)] + NONE
    assert len(words) == len(set(words)) > 100


def test_the_last_word_in_another_section_is_found() -> None:
    for key in (key for key in kinds() if is_read("gghl", key)):
        section, _, last = key.partition(".")
        for other in {name.partition(".")[0] for name in kinds()} - {section}:
            if f"{other}.{last}" not in kinds() and f"{other}.{last}" not in ADVICE:
                named = re.findall(r"'(.+?)'", suggestion(f"{other}.{last}"))
                assert named, f"{other}.{last}"
                assert (
                    key in named
                    or f"{other}.{last}" in " ".join(SAME.values())
                    or named[0][: len(other)] == other
                )


def test_a_spelling_mistake_is_found() -> None:
    for key in kinds():
        for wrong in (key + "s", key[:-1] + key[-1] * 2):
            last = wrong.partition(".")[2]
            if len(last) > 4 and wrong not in kinds() and last not in ADVICE:
                assert f"'{key}'" in suggestion(wrong), wrong


def test_foreign_names_lead_to_settings() -> None:
    assert set(SAME) <= set(kinds())
    for clause in ADVICE.values():
        for key in re.findall(r"\b[a-z]+\.[a-z_]+\b", clause):
            assert key in kinds() or key.rpartition(".")[2] in (
                "py",
                "csv",
                "md",
                "yaml",
                "pt",
                "jpg",
                "sh",
            ), key
    for names in SAME.values():
        assert not set(names.split()) & set(ADVICE)
        assert not set(names.split()) & set(kinds())


def test_words_of_the_script_come_first() -> None:
    options = ["weights", "out", "overwrite"]
    assert suggestion("wieghts", options) == "did you mean 'weights=' or 'model.weights'?"
    assert suggestion("overwite", options) == "did you mean 'overwrite='?"
    assert suggestion("foo", options) == LIST_ALL


@pytest.mark.parametrize("word", ["model", "ckpt", "checkpoint"])
def test_scripts_that_take_weights_offer_them_first(word: str) -> None:
    assert suggestion(word, ["weights", "out"]).startswith("did you mean 'weights='")
    assert "'weights='" not in suggestion(word)
