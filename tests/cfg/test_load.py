"""Settings from defaults, files and command-line words."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from cfg.load import ConfigError, check_keys, config_text, load_config, load_config_text
from cfg.schema import Config, DataConfig

FILES = sorted((Path(__file__).parents[2] / "cfg").glob("*.yaml"))


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def test_nothing_given_means_the_defaults(tmp_path: Path) -> None:
    assert load_config() == Config()
    assert load_config(write(tmp_path, "# only a comment\n")) == Config()


@pytest.mark.parametrize(
    "text",
    [
        "data.root: /data\ntrain.epochs: 7\ntrain.lr: 1e-3\n",
        "data: {root: /data}\ntrain:\n  epochs: 7\n  lr: 1.0e-3\n",
        "data.root: /data\ntrain: {epochs: 7}\ntrain.lr: .001\n",
    ],
    ids=["flat", "nested", "mixed"],
)
def test_flat_and_nested_yaml_say_the_same(tmp_path: Path, text: str) -> None:
    config = load_config(write(tmp_path, text))
    assert (config.data.root, config.train.epochs, config.train.lr) == ("/data", 7, 0.001)
    assert config.model_copy(update={"data": DataConfig(), "train": Config().train}) == Config()


def test_later_settings_win(tmp_path: Path) -> None:
    path = write(tmp_path, "train.epochs: 7\ntrain.seed: 3\n")
    config = load_config(path, ["train.epochs=8", "train.lr=2e-3", "train.epochs=9"])
    assert (config.train.epochs, config.train.seed, config.train.lr) == (9, 3, 0.002)


@pytest.mark.parametrize("number", ["1e-3", "1E-3", "1.e-3", ".1e-2", "+1e-3", "0.001", "10e-4"])
def test_numbers_as_people_write_them(tmp_path: Path, number: str) -> None:
    assert load_config(None, [f"train.lr={number}"]).train.lr == 0.001
    assert load_config(write(tmp_path, f"train.lr: {number}")).train.lr == 0.001


def test_words_of_every_type() -> None:
    words = ["data.root=/a b=c", "data.classes=[car, bus]", "data.image_size=[512, 640]", "train.amp=false"]
    config = load_config(None, [*words, "model.dropblock=null", "predict.score_threshold=1"])
    assert config.data.root == "/a b=c"
    assert config.data.classes == ("car", "bus")
    assert config.data.input_size == (512, 640)
    assert config.train.amp is False
    assert config.model.dropblock is None
    assert config.predict.score_threshold == 1.0
    assert load_config(None, ["data.image_size=96"]).data.input_size == (96, 96)
    assert load_config(None, ["data.root=[half a list"]).data.root == "[half a list"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train.lrr: 1", "unknown key 'train.lrr'; did you mean 'train.lr'?"),
        ("trian.lr: 1", "unknown key 'trian.lr'; did you mean 'train.lr'?"),
        (
            "xyz: {qqqqqq: 1, r: 2}",
            "unknown key 'xyz.r'; python train_GGHL.py --settings lists all there are",
        ),
        ("epochs: 3", "unknown key 'epochs'; did you mean 'train.epochs'?"),
        ("train.lr.x: 1", "unknown key 'train.lr.x'"),
        ("train.epochs: ten", "train.epochs: Input should be a valid integer, got 'ten'"),
        ("train.epochs: 1.5", "train.epochs: Input should be a valid integer, got 1.5"),
        ("train.epochs: true", "train.epochs: Input should be a valid integer, got True"),
        ("train.epochs: 0", "train.epochs: Input should be greater than or equal to 1, got 0"),
        ("train.amp: 1", "train.amp: Input should be a valid boolean, got 1"),
        ("train.epochs: null", "train.epochs: Input should be a valid integer, got None"),
        ("train.lr: .inf", "train.lr: Input should be a finite number, got inf"),
        ("train.lr: 2020-01-01", "train.lr: Input should be a valid number, got '2020-01-01'"),
        ("train: 3", "train: Input should be an object, got 3"),
        ("data.classes: car", "data.classes: Input should be a valid array, got 'car'"),
        (
            "data.image_size: 500",
            "data.image_size: expected sides that are multiples of 32, the nearest is 512",
        ),
        ("data.image_size: [512, 650]", "multiples of 32, the nearest is 640, got [512, 650]"),
        ("data.image_size: [512, 640, 32]", "data.image_size: expected 2 values, got [512, 640, 32]"),
        ("data.image_size: [512]", "data.image_size: expected 2 values, got [512]"),
        ("data.image_size: [512, a]", "data.image_size: Input should be a valid integer, got 'a'"),
        ("predict.stretch: [2]", "predict.stretch: expected 2 values, got [2]"),
        ("eval.scales: []", "eval.scales: expected one or more values, got []"),
        ("data.image_size: 10", "the nearest is 32, got 10"),
        ("augment.mixup: 1.5", "augment.mixup: Input should be less than or equal to 1, got 1.5"),
        ("model.size: huge", "model.size: Input should be 'nano', 'small', 'medium' or 'large', got 'huge'"),
        ("assign.level_bounds: [3, 1]", "assign.level_bounds: expected 2 rising numbers, one"),
        ("augment.scale_range: [2, 1]", "augment.scale_range: expected [low, high], got [2.0, 1.0]"),
        ("model.pretrained: true", "model.pretrained: expected false: only backbones timm/NAME"),
        (
            "model: {backbone: timm/a, weights: b.pth, pretrained: true}",
            "model.pretrained: expected false beside model.weights: one of the two, got True",
        ),
        ("model.freeze: 6", "model.freeze: Input should be less than or equal to 5, got 6"),
        ("predict.rates: [1.0e-9]", "predict.rates: Input should be greater than or equal to 0.01"),
        ("predict.rates: [17]", "predict.rates: Input should be less than or equal to 16"),
        (
            "predict.score_threshold: {ship: 2}",
            "predict.score_threshold: Input should be less than or equal to 1, got 2",
        ),
        ("train.name: ..", "train.name: expected a plain folder name, got '..'"),
        ("train.name: a/b", "train.name: expected a plain folder name, got 'a/b'"),
        ('train.name: "a\\0"', "train.name: expected a plain folder name, got 'a\\x00'"),
        ("loss.label_smoothing: 0.6", "loss.label_smoothing: Input should be less than or equal to 0.5"),
        ("- 1", "expected lines 'section.key: value', got list"),
        ("a: [1", "not valid YAML"),
        ("a: " + "[" * 3000 + "]" * 3000, "not valid YAML: lists in lists in lists"),
        ("data.classes: &a [*a]", "data.classes: expected numbers, texts, and lists"),
        ("train: &a {epochs: *a}", "train.epochs: expected numbers, texts, and lists"),
        ("predict.score_threshold: {2020-01-01: 0.5}", "predict.score_threshold: expected numbers, texts"),
        (f"train.seed: {2**64}", f"train.seed: Input should be less than {2**63}, got {2**64}"),
    ],
)
def test_bad_files_are_explained(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert message in str(caught.value)
    assert all(line.startswith((f"{path}: ", f"{path}:1: ")) for line in str(caught.value).splitlines())


def test_every_problem_is_listed_with_its_source(tmp_path: Path) -> None:
    path = write(tmp_path, "train.epochs: ten\ntrain.seed: 1\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path, ["train.seed=-1", "loss.iuo=2"])
    assert sorted(str(caught.value).splitlines()) == sorted(
        [
            "command line: unknown key 'loss.iuo'; did you mean 'loss.iou'?",
            f"{path}: train.epochs: Input should be a valid integer, got 'ten'",
            "command line: train.seed: Input should be greater than or equal to 0, got -1",
        ]
    )


@pytest.mark.parametrize("word", ["train.lr", "lr", "=3", ""])
def test_words_without_section_key_and_value(word: str) -> None:
    with pytest.raises(ConfigError, match=r"expected section\.key=value, for example train\.epochs=50"):
        load_config(None, [word])


def test_every_word_without_a_setting_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, ["lr=3", "train.seed=-1", "train.epoch=3"])
    assert str(caught.value).splitlines() == [
        "command line: unknown key 'lr'; did you mean 'train.lr'?",
        "command line: unknown key 'train.epoch'; did you mean 'train.epochs'?",
        "command line: train.seed: Input should be greater than or equal to 0, got -1",
    ]
    check_keys(["train.lr=3", "data.root=x=y"])
    with pytest.raises(ConfigError, match="unknown key 'outt'; did you mean 'out='"):
        check_keys(["outt=3"], ["out"])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml: no such configuration file"):
        load_config(tmp_path / "gone.yaml")
    with pytest.raises(ConfigError, match="no such configuration file"):
        load_config(tmp_path)
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"data.root: \xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.yaml: expected UTF-8 text"):
        load_config(path)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    words = ["data.root='/a: b #c'", "data.classes=[é, 'a, b']", "data.image_size=[64, 96]", "train.lr=1e-7"]
    config = load_config(None, [*words, "train.name='2024'", "model.weights=x.weights"])
    assert load_config_text(config_text(config), "text") == config
    assert load_config_text(config_text(config), "text", ["train.lr=1"]).train.lr == 1
    (tmp_path / "config.yaml").write_text(config_text(config))
    assert load_config(tmp_path / "config.yaml") == config
    first, *rest = config_text(config).splitlines()
    assert first == 'data.root: "/a: b #c"'
    assert all(line.partition(": ")[0].count(".") == 1 for line in rest)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Config().train.epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_loads_and_starts_with_the_root(path: Path) -> None:
    first, *_ = path.read_text().splitlines()
    assert first == f"data.root: {load_config(path).data.root}"
