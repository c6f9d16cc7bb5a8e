"""The runs of `hostile.py`: scripts, what their machine lacks, and what their files hold."""

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from benchmarks import hostile_files as files
from tests.datasets_tools.formats import text_samples, xml_samples

ROOT = Path(__file__).parents[1]
TARGETS = ("work/out", "work/runs", "run")  # where runs may write
SUFFIXES = (".tif", ".png", ".jpg", ".jp2", ".vrt", ".webp", ".gif", ".bmp")
CLASSES = ("court", "ship", "vehicle")  # of the small scenes
TOOL = ["-m", "datasets_tools"]
TRAIN = ["train_GGHL.py", "model.size=nano", "train.epochs=1", "data.image_size=64", "train.batch_size=2"]
DATA, BEST = "data.root=../data", "../run/best.pt"
NAMES = ["--images", "../names", "--classes", ",".join(CLASSES)]
SCRIPTS = {
    "tools": TOOL,
    "check": [*TOOL, "check", "../data", "--out", "out/c", "--processes", "2"],
    "show": [*TOOL, "show", "../data", "out/s", "--number", "3", "data.on_error=skip"],
    "show weights": [*TOOL, "show", "../data", "out/w", "--number", "3", "--weights", BEST],
    "split": [*TOOL, "split", "../data", "out/t", "--size", "32", "--overlap", "8", "--processes", "2"],
    "convert": [*TOOL, "convert", "../data", "out/k", "--from", "dota", "--to", "coco", "--images", "copy"],
    "make_list": [*TOOL, "make_list", "../data", "out/l", "--split", "train=0.5", "val=0.5"],
    "merge": [*TOOL, "merge", "../tiles", "out/m"],
    "submit": [*TOOL, "submit", "../results", "out/z.zip", *NAMES],
    "import": [*TOOL, "import_reference", BEST, "out/i.pt", "--classes", "court,plane"],
    "predict": ["predict.py", "../data/train/images", "../scene.tif", f"weights={BEST}", "out=out/p",
                "predict.score_threshold=0.001", "formats=dota,csv,geojson,geopackage,pictures"],
    "test": ["test.py", BEST, DATA, "out=out/e", "data.workers=1"],
    "results": ["test.py", "results=../results", DATA, "out=out/r"],
    "compare": ["test.py", "compare=../results,../others", DATA, "out=out/d", "bootstrap=50"],
    "train": [*TRAIN, DATA, "data.workers=1", "data.on_error=skip"],
    "init": [*TRAIN, DATA, "data.workers=0", f"train.init={BEST}"],
    "resume": ["train_GGHL.py", "train.resume=../run", "train.epochs=2", "data.workers=1"],
}  # fmt: skip
PARALLEL = ("check", "split", "convert", "show weights", "predict", "test", "train", "resume")
LIMITS = {  # what a shell does around a command
    "as it is": "{}",
    "memory": "ulimit -v 3700000; {}",  # 3.6 GB are gone when all libraries are loaded
    "little memory": "ulimit -v 1500000; {}",
    "24 files": "ulimit -n 24; {}",
    "64 files": "ulimit -n 64; {}",
    "file size": "ulimit -f 8; {}",
    "full output": "{} >/dev/full",
    "closed output": "{} >&-",
    "broken pipe": "set -o pipefail; {} | head -c 1",
}
DEV = """T=$HOME/dev$$; mkdir -p $T; mount -t tmpfs none $T
for d in null zero full random urandom; do touch $T/$d; mount --bind /dev/$d $T/$d; done
mount --rbind $T /dev; """
FULL = "mkdir -p out runs; for d in out runs; do mount -t tmpfs -o size={} none $d; done; "
PRIVATE = {  # those that need a mount namespace, and root
    "missing shm": DEV + "{}",
    "read-only shm": "mount -t tmpfs -o ro none /dev/shm; {}",
    "tiny shm": "mount -t tmpfs -o size=64k none /dev/shm; {}",
    "full disk": FULL.format("16k") + "{}",
    "full disk later": FULL.format("160k") + "{}",
    "full temporary disk": "mount -t tmpfs -o size=64k none $TMPDIR; {}",
}
THREADS = {"1 thread": 1, "6 threads": 6}  # root has no such limit: under another user number
RIGHTS = ["--clear-groups", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
SELDOM = ("64 files", "missing shm", "read-only shm", "tiny shm", "full disk later", *THREADS)
Make = Callable[[Path], object]


class Case(NamedTuple):
    """One run."""

    script: str
    kind: str
    name: str
    words: Sequence[str]
    make: Make = lambda _: None  # makes its files hostile
    limit: str = "as it is"

    def command(self, number: int) -> list[str]:
        """Return the words that start it under its limit; the number is one that no other run has."""
        words = [str(ROOT / word) if word.endswith(".py") else word for word in self.words]
        line = shlex.join([sys.executable, *words])
        if self.limit in THREADS:
            shell = ["bash", "-c", f"ulimit -u {THREADS[self.limit]}; exec {line}"]
            return ["setpriv", f"--reuid={60000 + number}", *RIGHTS, *shell]
        if self.limit in PRIVATE:
            return ["unshare", "--mount", "bash", "-c", PRIVATE[self.limit].replace("{}", line)]
        return ["bash", "-c", LIMITS[self.limit].replace("{}", line)]


def make_cases(url: str) -> list[Case]:
    """Return all runs; `url` is an address that nobody may ask."""
    return [*exhausted(), *lying(url), *damaged_labels(), *damaged_states()]


def exhausted() -> Iterator[Case]:
    """Yield the runs on machines that have too little of something."""
    is_root = sys.platform == "linux" and os.geteuid() == 0
    for limit in (*LIMITS, *(PRIVATE if is_root else ()), *(THREADS if is_root else ())):
        for script in PARALLEL if limit in SELDOM else SCRIPTS:
            if limit != "full temporary disk" or script == "predict":
                yield Case(script, limit, limit, SCRIPTS[script], limit=limit)


def lying(url: str) -> Iterator[Case]:
    """Yield the runs on files that are not what they are called, and on folders that are none."""
    readers = ("predict", "check", "show", "split", "convert", "train", "test", "make_list")
    scripts = cycle(readers)
    for name, data in files.lying_images(url).items():
        next(scripts)  # else each suffix always meets the same script
        for suffix in SUFFIXES[len(name) % 2 :: 2]:
            yield _with_file(next(scripts), "lying image", f"{name} {suffix}", f"a{suffix}", data)
    for name, data in files.vast_images().items():
        for _ in range(2):
            yield _with_file(next(scripts), "absurd size", name, name, data)
    for name, damage in files.FOLDERS.items():
        for script in readers if name == "names" else (next(scripts), next(scripts), next(scripts)):
            yield Case(script, "folder", name, SCRIPTS[script], partial(_damage, damage, "data"))


def _damage(damage: files.Damage, path: str, at: Path) -> None:
    damage(at / path)


def _with_file(script: str, kind: str, name: str, file: str, data: bytes) -> Case:
    words = SCRIPTS[script]
    if script == "predict":
        words = ["predict.py", f"../data/train/images/{file}", *words[3:]]

    def make(at: Path) -> None:
        for split in ("train", "val"):
            (at / "data" / split / "images" / file).write_bytes(data)

    return Case(script, kind, name, words, make)


def damaged_labels() -> Iterator[Case]:
    """Yield conversions of every format that is read, each with some of the damages."""
    write = text_samples.write_files
    samples: dict[str, Make] = dict(text_samples.SAMPLES)
    for name, (_, text) in xml_samples.SAMPLES.items():
        samples[name] = partial(write, files={"P1.xml": text, "P1.png": None})
    for name, other in (("voc", "rolabelimg"), ("hrsc2016-ships", "hrsc2016"), ("yolo", "yolo-obb")):
        samples[name] = samples[other]
    for name, line in (("icdar", "1,2,9,2,9,8,1,8,P1\n"), ("visdrone", "1,2,9,8,1,4,0,0\n")):
        samples[name] = partial(write, files={"images/P1.jpg": None, "annotations/P1.txt": line})
    damages = cycle(files.LABELS.items())
    for form, make in samples.items():
        for count in range(3):  # of twelve: each format begins where the one before it ended
            name, damage = next(damages)
            words = [*TOOL, "convert", "../data", "out/k", "--from", form, "--to", "dota"]
            words += ["--on-error", "skip"] * (count % 2)
            yield Case("convert", "labels", f"{form} {name}", words, partial(_damage_labels, make, damage))


def _damage_labels(write: Make, damage: files.Damage, at: Path) -> None:
    shutil.rmtree(at / "data")
    write(at / "data")
    for path in sorted((at / "data").rglob("*")):
        if path.suffix in (".txt", ".json", ".xml", ".yaml") and path.is_file():
            damage(path)


def damaged_states() -> Iterator[Case]:
    """Yield the runs on damaged checkpoints, journals and results."""
    scripts = cycle(("predict", "test", "show weights", "init", "resume"))
    for name, damage in files.CHECKPOINTS.items():
        for script in (next(scripts), next(scripts), "import"):
            place = "run/last.pt" if script == "resume" else "run/best.pt"
            yield Case(script, "checkpoint", name, SCRIPTS[script], partial(_damage, damage, place))
    for name in files.RESULTS:
        for script in ("results", "merge", "submit"):
            folder = "tiles" if script == "merge" else "results"
            make = partial(_damage, partial(files.damage_results, name=name), folder)
            yield Case(script, "results", name, SCRIPTS[script], make)
    for file in ("scene.journal.0", "scene.npz"):
        for name in ("junk", "pipe", "folder"):
            yield Case(
                "predict", "journal", f"{file} {name}", SCRIPTS["predict"], partial(_journal, file, name)
            )


def _journal(file: str, damage: str, at: Path) -> None:
    path = at / "work/out/p/.predictions" / file
    path.parent.mkdir(parents=True)
    path.touch()
    files.LABELS[damage](path)
