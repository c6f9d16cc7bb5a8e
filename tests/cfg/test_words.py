"""Words of the command line become what the schema asks for."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from cfg.load import ConfigError, load_config
from cfg.schema import Config
from cfg.words import kinds, value_of


def value(word: str) -> Any:
    section, _, key = word.partition("=")[0].partition(".")
    return getattr(getattr(load_config(None, [word]), section), key)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("predict.classes=ship,plane", ("ship", "plane")),
        ("predict.classes=ship, plane", ("ship", "plane")),
        ("predict.classes=ship", ("ship",)),
        ("predict.classes=[ship,plane]", ("ship", "plane")),
        ('predict.classes=["ship", "a, b"]', ("ship", "a, b")),
        ("predict.classes='a, b',c", ("a, b", "c")),
        ("predict.classes=", ()),
        ("predict.classes=[]", ()),
        ("predict.classes=none", ()),
        ("predict.classes=[none]", ("none",)),
        ("data.classes=1,2", ("1", "2")),
        ("data.classes=[01,1e3,true,null]", ("01", "1e3", "true", "null")),
        ("data.classes=1", ("1",)),
        ("data.classes=a b,c: d,e[1]", ("a b", "c: d", "e[1]")),
        ("data.image_size=512,640", (512, 640)),
        ("data.image_size=[512, 640]", (512, 640)),
        ("data.image_size=(512,640)", (512, 640)),
        ("data.image_size=640", 640),
        ("eval.scales=0.8,1,1.25", (0.8, 1.0, 1.25)),
        ("eval.scales=1", (1.0,)),
        ("eval.turns=1", (1,)),
        ("eval.turns=[0,3]", (0, 3)),
        ("predict.formats=geojson,csv", ("geojson", "csv")),
        ("predict.formats=GeoJSON", ("geojson",)),
        ("predict.stretch=2,98", (2.0, 98.0)),
        ("predict.stretch=none", None),
        ("predict.bands=4,3,2", (4, 3, 2)),
        ("augment.scale_range=.5,2", (0.5, 2.0)),
        ("augment.hsv_gains=0,1e-1,0", (0.0, 0.1, 0.0)),
        ("train.lr=1e-3", 0.001),
        ("train.lr=None", None),
        ("train.lr=", None),
        ("train.seed=007", 7),
        ("train.amp=no", False),
        ("train.amp=1", True),
        ("train.name=2024", "2024"),
        ("train.name=", ""),
        ("train.optimizer=AdamW", "adamw"),
        ("eval.flips=none", "none"),
        ("model.weights=null", None),
        ("model.weights=1", "1"),
        ("data.root=/a b=c", "/a b=c"),
        ("data.root=/a: b #c", "/a: b #c"),
        ("data.root='/a: b #c'", "/a: b #c"),
        ("data.root=[x", "[x"),
        ("data.root='x", "'x"),
    ],
)
def test_words(word: str, expected: object) -> None:
    assert value(word) == expected


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("data.image_size=512,640,32", "data.image_size: expected 2 values, got [512, 640, 32]"),
        ("data.image_size=512,a", "data.image_size: Input should be a valid integer, got 'a'"),
        ("data.image_size=", "data.image_size: Input should be a valid integer, got ''"),
        ("eval.scales=", "eval.scales: expected one or more values, got []"),
        ("eval.turns=0,5", "eval.turns: Input should be less than or equal to 3, got 5"),
        ("predict.stretch=2", "predict.stretch: expected 2 values, got [2]"),
        ("predict.formats=csv,tiff", "got 'tiff'"),
        ("train.amp=maybe", "train.amp: Input should be a valid boolean, got 'maybe'"),
        ("train.epochs=1.5", "train.epochs: Input should be a valid integer, got 1.5"),
        ("train.epochs=1,2", "train.epochs: Input should be a valid integer, got '1,2'"),
        ("train.lr=nan", "train.lr: Input should be a finite number, got nan"),
    ],
)
def test_words_that_do_not_fit(word: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, [word])
    assert message in str(caught.value)


def written(default: object) -> str:
    """A default as somebody would type it."""
    if isinstance(default, tuple | list):
        return ",".join(map(written, default))
    return "none" if default is None else str(default)


@pytest.mark.parametrize("key", kinds())
def test_each_default_can_be_typed_without_brackets(key: str) -> None:
    section, _, name = key.partition(".")
    expected = getattr(getattr(Config(), section), name)
    assert value(f"{key}={written(expected)}") == expected
    if isinstance(expected, tuple) and expected:
        assert value(f"{key}=[{written(expected)}]") == expected


@pytest.mark.parametrize(
    ("type_", "text", "expected"),
    [
        (tuple[str, ...] | None, "none", None),
        (tuple[str, ...] | None, "a,1", ["a", "1"]),
        (tuple[int, str] | None, "1,1", [1, "1"]),
        (float | tuple[float, ...], "1", 1),
        (float | tuple[float, ...], "1,2.5", [1, 2.5]),
        (list[bool], "yes,no", [True, False]),
        (str | None, "None", None),
        (bool, "ON", True),
    ],
)
def test_types_decide_and_no_list_of_names(type_: Any, text: str, expected: object) -> None:
    found = value_of(text, TypeAdapter(type_).json_schema())
    assert found == expected
    assert isinstance(found, type(expected))


@pytest.mark.parametrize(
    ("word", "device"),
    [
        ("auto", "auto"),
        ("cpu", "cpu"),
        ("gpu", "cuda"),
        ("cuda", "cuda"),
        ("0", "cuda:0"),
        ("1", "cuda:1"),
        ("gpu:1", "cuda:1"),
        ("cuda:1", "cuda:1"),
        ("mps", "mps"),
    ],
)
def test_names_of_devices(word: str, device: str) -> None:
    assert value(f"train.device={word}") == device


@pytest.mark.parametrize("word", ["0,1", "[0,1]", "cuda:0,cuda:1", "gpu:0, 1"])
def test_two_devices_name_the_launcher(word: str) -> None:
    with pytest.raises(ConfigError, match=r"expected one device.*NGPU=2 sh train_GGHL_dist\.sh, got"):
        value(f"train.device={word}")


def test_devices_of_a_file(tmp_path: Any) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("train.device: 1\n")
    assert load_config(path).train.device == "cuda:1"
    path.write_text("train.device: [0, 1, 2]\n")
    with pytest.raises(ConfigError, match=r"NGPU=3 sh train_GGHL_dist\.sh"):
        load_config(path)
    path.write_text("train.device: true\n")
    with pytest.raises(ConfigError, match="valid string, got True"):
        load_config(path)
