"""Train every detector of cfg/detectors/ on the same data with the same budget; one table and one picture.

    python benchmarks/family.py data.root=dataR/demo data.image_size=320 train.epochs=10
    python benchmarks/family.py cfg/hit_uav.yaml data.root=../hit-uav train.epochs=8 --only gghl,fcos_r
    python benchmarks/family.py data.root=dataR/demo --seeds 0,1 --out runs/family

YAMLs and settings are those of train_GGHL.py, `model.size=nano` unless settings say otherwise.  What is done
is not done again, so an interrupted table goes on.  Horizontal detectors are scored by task 2.
family.csv and family.png lie in OUT, the trainings in runs/.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cfg.load import ConfigError, load_config  # noqa: E402
from evalR.inference.load import load_detector  # noqa: E402
from modelR.network import Network  # noqa: E402
from utils.plots import panels  # noqa: E402
from utils.progress import counting  # noqa: E402
from utils.runlog import read_results_table  # noqa: E402
from utils.tables import write_table  # noqa: E402

COLUMNS = ("detector", "seed", "parameters", "GMAC", "images/s training", "images/s prediction", "minutes",
           "AP50", "AP75", "AP50:95", "AP50 small", "AP50 medium", "AP50 large")  # fmt: skip
SIZES = ("small", "medium", "large")  # of COCO


class Member(NamedTuple):
    """One detector with one seed."""

    name: str
    seed: int

    @property
    def run(self) -> Path:
        """Return the folder of its training."""
        return Path("runs") / f"family-{self.name}-{self.seed}"

    @property
    def scores(self) -> Path:
        """Return the folder of its evaluation."""
        return self.run / "eval-val"


def command(script: str, *words: str) -> None:
    """Run a script of the project; its words go to the screen, an error ends the member."""
    subprocess.run([sys.executable, str(ROOT / script), *words], check=True)


def train_and_score(member: Member, words: list[str]) -> None:
    """Train and evaluate, unless that is done; the minutes of training are kept beside the run.

    A training that was interrupted goes on, with the minutes of its last part.
    """
    yamls = [word for word in words if word.endswith((".yaml", ".yml"))]
    settings = [word for word in words if word not in yamls]
    watch = member.run / "minutes.json"
    if not watch.exists():
        began = time.perf_counter()
        own = str(ROOT / f"cfg/detectors/{member.name}.yaml")
        name = [f"train.name={member.run.name}", f"train.seed={member.seed}", "train.resume=auto"]
        command("train_GGHL.py", *yamls, own, "model.size=nano", *settings, *name)
        watch.write_text(json.dumps((time.perf_counter() - began) / 60))
    if not (member.scores / "metrics.json").exists():
        command("test.py", str(member.run / "best.pt"), f"out={member.scores}")


def multiply_adds(model: Network, size: tuple[int, int]) -> float:
    """Return the multiply-adds of one image (height, width), in billions."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.zeros(1, 3, *size))
    return counter.get_total_flops() / 2e9


def figures(member: Member) -> list[Any]:
    """Return the row of a member that was trained and scored."""
    trained = load_detector(member.run / "best.pt", [], lambda _: torch.device("cpu"))
    metrics = json.loads((member.scores / "metrics.json").read_text())
    task = metrics["task2" if trained.model.method.is_horizontal else "task1"]
    rows = read_results_table(member.run / "results.csv")
    pace = [float(row["images_per_second"]) for row in rows]
    speed = json.loads((member.scores / "speed.json").read_text())
    averages = task[trained.config.eval.metric]
    return [
        member.name,
        member.seed,
        sum(parameter.numel() for parameter in trained.model.parameters()),
        multiply_adds(trained.model, trained.config.data.input_size),
        sum(pace) / len(pace),
        speed["images_per_second"],
        json.loads((member.run / "minutes.json").read_text()),
        *(averages[name]["mean"] for name in ("AP50", "AP75", "AP50:95")),
        *(task["sizes"]["coco"][size]["AP50"]["mean"] for size in SIZES),
    ]


def table_of(rows: list[list[Any]]) -> str:
    """Return the rows as a table of Markdown: AP in percent, none for what no object says."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for name, seed, parameters, gmac, *speeds in rows:
        cells = [str(name), str(seed), f"{parameters:,}", f"{gmac:.2f}", *(f"{x:.1f}" for x in speeds[:3])]
        cells += ["" if share is None else f"{100 * share:.1f}" for share in speeds[3:]]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def plot(rows: list[list[Any]], path: Path) -> None:
    """Plot AP50 over multiply-adds and over the speed of prediction, each member by its name."""
    figure, axes = panels(2, [[], []])
    for axis, column in zip(axes, (3, 5), strict=True):
        for row in rows:
            if row[7] is not None:
                axis.scatter(row[column], 100 * row[7], s=18)
                axis.annotate(f" {row[0]}", (row[column], 100 * row[7]), fontsize=8)
        axis.set_xlabel(COLUMNS[column])
        axis.set_ylabel("AP50 (%)")
        axis.set_xscale("log")
    figure.savefig(path, dpi=150)


def main() -> int:
    """Train, score, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = sorted(path.stem for path in (ROOT / "cfg/detectors").glob("*.yaml"))
    parser.add_argument("words", nargs="*", help="YAMLs and settings of train_GGHL.py")
    parser.add_argument(
        "--only", default=",".join(known), help=f"names with commas; default: {', '.join(known)}"
    )
    parser.add_argument("--seeds", default="0", help="numbers with commas; default 0")
    parser.add_argument("--out", type=Path, default=Path("runs/family"), help="default runs/family")
    arguments = parser.parse_intermixed_args()
    names = arguments.only.split(",")
    strange = sorted({*names} - {*known})
    if strange:
        parser.error(f"--only: expected names of {', '.join(known)}, got {', '.join(strange)}")
    try:
        load_config(None, [word for word in arguments.words if "=" in word])
    except ConfigError as error:  # before the first hour
        parser.error(str(error))
    members = [Member(name, int(seed)) for seed in arguments.seeds.split(",") for name in names]
    rows, failed = [], []
    arguments.out.mkdir(parents=True, exist_ok=True)
    with counting("family", len(members), "detector", hidden=False) as count:
        for member in members:
            try:
                train_and_score(member, arguments.words)
                rows.append(figures(member))
            except subprocess.CalledProcessError as error:
                failed.append(f"{member.name}, seed {member.seed}: exit code {error.returncode}")
            write_table(arguments.out / "family.csv", COLUMNS, rows)
            plot(rows, arguments.out / "family.png")
            count(1)
    sys.stdout.write(table_of(rows) + "".join(f"failed: {line}\n" for line in failed))
    sys.stdout.write(f"results: {arguments.out}\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
