"""Export a trained model to one file that runs without torch, and check that it gives the same quads.

    python export.py                                          the newest run's best.pt as ONNX beside it
    python export.py weights=runs/dota out=dota.onnx nms=full
    python export.py weights=runs/dota format=openvino half=true out=deploy/dota.xml
    python export.py weights=runs/dota dynamic=true           any height and width, multiples of 32
    python export.py weights=runs/dota size=512,640 images=photos/ eval.nms_iou=0.3

The input is `images` (N, 3, H, W) float32, RGB from 0 to 255; nothing else is left to do before it.  The
outputs are `quads` (N, K, 8) in pixels of the input, `scores` (N, K) and `labels` (N, K):

  nms=none   every cell: threshold and NMS are yours (docs/deployment.md)
  nms=topk   those of the eval.pre_nms highest scores
  nms=full   what NMS keeps, best first, and `count` (N) that says how many rows these are

The file knows classes, thresholds and how images are fitted in; docs/deployment.md lists what.  Before it
appears under its name, it is run beside torch on images of the validation split, or of images=DIR, and on
random ones.  If it gives other quads the exit code is 1, and there is no file.
"""

import utils.startup  # noqa: F401

import argparse
import copy
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from cfg.schema import SIZE_STEP
from evalR.export.formats import FORMAT_SUFFIXES, FileFormat, FileWriter, file_writer
from evalR.export.graph import ENDINGS, Ending, GraphPlan, QuadGraph, Shaping
from evalR.export.metadata import as_texts, file_metadata
from evalR.export.parity import FULL_PRECISION, HALF_PRECISION, Parity, check_parity, compared_config
from evalR.export.running import file_runner
from evalR.export.trial import trial_batches, trial_paths, trial_sizes
from evalR.inference.load import Trained, load_detector, newest_weights
from evalR.runtime.engines import is_exported
from utils.cli import HelpFormatter, parse_words, positive_int, run_script, whole_number
from utils.errors import UserError
from utils.files import check_folder
from utils.images import Size
from utils.progress import units_bar
from utils.thresholds import least_scores

MOST_CANDIDATES = 1000  # of `full`: its work grows with their square
STEPS = ("convert", "write", "compare", "finish")
FAILED = 1  # exit code


class ExportJob(NamedTuple):
    """What is to be made of what."""

    form: FileFormat
    plan: GraphPlan
    shaping: Shaping
    out: Path
    images: str | None  # a folder of real images
    trials: int  # images of each kind


def main(words: Sequence[str]) -> int:
    """Export as the command line says."""
    parser = build_parser()
    arguments, settings = parse_words(parser, words)
    asked = asked_for(arguments)
    weights = Path(arguments.weights) if arguments.weights else newest_weights(Path("runs"))
    if is_exported(weights):
        raise UserError(f"weights={weights}: exported already, expected a checkpoint")
    trained = load_detector(weights, [*settings, "train.device=cpu"], torch.device)
    job = job_of(arguments, asked, trained)
    parity = export(trained, job)
    sys.stdout.write(parity.text())
    if not parity.is_met:
        sys.stdout.write(f"not written, for it differs from torch: {job.out}\n")
        return FAILED
    sys.stdout.write(f"written: {job.out}\n")
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the options of the script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    add = parser.add_argument
    add("--weights", metavar="PATH", help="best.pt, last.pt or a run's folder; default: the newest run")
    add("--format", default="onnx", metavar="NAME", help=f"{', '.join(FORMAT_SUFFIXES)}; default: onnx")
    add("--nms", default="none", metavar="NAME", help=f"{', '.join(ENDINGS)}; default: none")
    add("--out", metavar="FILE", help="the file; default: beside the weights")
    add("--half", action="store_true", help="weights in 16 bits: half the size")
    add("--dynamic", action="store_true", help="height and width may be any multiple of 32")
    add("--size", metavar="H,W", help="of the input, px; default: data.image_size")
    add("--candidates", type=positive_int, default=300, metavar="N", help="of nms=full; default: 300")
    add("--images", metavar="DIR", help="real images to compare with; default: the validation split")
    add("--trials", type=whole_number, default=20, metavar="N", help="images of each kind; default: 20")
    return parser


class Asked(NamedTuple):
    """What the options say before any model is loaded."""

    form: FileFormat
    ending: Ending
    size: Size | None


def asked_for(arguments: argparse.Namespace) -> Asked:
    """Return what the options mean.

    Raises:
        UserError: an option that has no such value.
    """
    form, ending = chosen("format", arguments.format, FORMAT_SUFFIXES), chosen("nms", arguments.nms, ENDINGS)
    if arguments.half and form == "torchscript":
        raise UserError("half: expected format=onnx or format=openvino, got torchscript")
    if arguments.candidates > MOST_CANDIDATES:
        raise UserError(f"candidates: expected at most {MOST_CANDIDATES}, got {arguments.candidates}")
    if arguments.out:
        out = Path(arguments.out)
        if out.suffix.lower() != FORMAT_SUFFIXES[form]:
            raise UserError(
                f"out={out}: expected a name that ends in {FORMAT_SUFFIXES[form]}, for format={form}"
            )
        if out.is_dir():
            raise UserError(f"out={out}: expected the name of a file, found a folder")
        check_folder(out.parent, "out")
    return Asked(form, ending, size_of(arguments.size) if arguments.size else None)


def job_of(arguments: argparse.Namespace, asked: Asked, trained: Trained) -> ExportJob:
    """Return what is to be made of a model; without words of its own the file lies beside the weights."""
    out = Path(arguments.out) if arguments.out else trained.path.with_suffix(FORMAT_SUFFIXES[asked.form])
    check_folder(out.parent, "out")
    plan = GraphPlan(asked.ending, trained.config.eval, arguments.candidates)
    shaping = Shaping(asked.size or trained.config.data.input_size, arguments.dynamic, arguments.half)
    return ExportJob(asked.form, plan, shaping, out, arguments.images, arguments.trials)


def chosen(option: str, value: str, names: Iterable[str]) -> Any:
    """Return the name that a word means.

    Raises:
        UserError: there is none of this name.
    """
    if value.lower() not in names:
        raise UserError(f"{option}={value}: expected one of {', '.join(names)}")
    return value.lower()


def size_of(text: str) -> Size:
    """Return height and width of `512,640` or, of a square, `640`.

    Raises:
        UserError: other words, or sides that are no multiples of 32.
    """
    sides = [int(part) if part.strip().isdecimal() else 0 for part in text.strip("[]()").split(",")]
    if len(sides) not in (1, 2) or any(side < 1 or side % SIZE_STEP for side in sides):
        raise UserError(f"size={text}: expected height and width in px, multiples of {SIZE_STEP}: 512,640")
    return sides[0], sides[-1]


def export(trained: Trained, job: ExportJob) -> Parity:
    """Make the file and compare it with torch; it gets its name where both give the same."""
    paths = trial_paths(job.images, trained.config.data, trained.classes, job.trials)
    with units_bar("export", len(STEPS), "step", hidden=trained.config.predict.quiet) as progress:
        progress.set_postfix_str("convert: a minute or two")
        write = writer_of(trained, job)
        progress.update()
        described = file_metadata(trained, job.plan, job.shaping)
        job.out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=job.out.parent) as folder:
            draft = Path(folder) / job.out.name
            write(draft, as_texts(described))
            progress.update()
            progress.set_postfix_str("compare with torch")
            parity = compare_with_torch(trained, job, draft, paths)
            progress.update()
            if parity.is_met:
                write(draft, as_texts(described | {"parity": parity.values()}))
                place(draft, job.out)
            progress.update()
    return parity


def writer_of(trained: Trained, job: ExportJob) -> FileWriter:
    """Return what writes the file; the model in `trained` stays as it is."""
    network = copy.deepcopy(trained.model).to(memory_format=torch.contiguous_format)
    if job.shaping.half and job.form == "onnx":
        network.half()  # OpenVINO stores the weights in 16 bits itself
    graph = QuadGraph(network, job.plan).eval().requires_grad_(False)
    return file_writer(job.form, graph, job.shaping)


def compare_with_torch(trained: Trained, job: ExportJob, file: Path, paths: Sequence[Path]) -> Parity:
    """Return how what a file finds differs from what the model finds.

    In full precision from `eval.score_threshold` on, as test.py does; in half from what predict.py shows.
    """
    config, half = trained.config, job.shaping.half
    lowest = config.eval.score_threshold
    shown = float(least_scores(config.predict.threshold, trained.classes).min())
    plan = job.plan._replace(config=compared_config(job.plan, max(shown, lowest) if half else lowest))
    batches = trial_batches(paths, trial_sizes(job.shaping.size, job.shaping.is_dynamic), job.trials)
    runner = file_runner(file, job.form, plan.outputs)
    return check_parity(trained.model, runner, batches, plan, HALF_PRECISION if half else FULL_PRECISION)


def place(draft: Path, out: Path) -> None:
    """Move a file to its place, and what lies beside it first: OpenVINO keeps the weights in a second one."""
    others = [path for path in draft.parent.iterdir() if path != draft]
    for path in (*others, draft):
        path.replace(out.with_suffix(path.suffix))


if __name__ == "__main__":
    sys.exit(run_script(main))
