"""Hostile files and exhausted machines, through all scripts: counts tracebacks, hangs, requests and strays.

    python benchmarks/hostile.py --number 20            a sample
    python benchmarks/hostile.py --weights best.pt      all of them, some minutes

Everything stays on this machine: the only server listens on 127.0.0.1, and each run ends within 60 s.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from dataloadR.demo_scenes import write_demo_scenes

ROOT = Path(__file__).parents[1]
SECONDS = 60
SUFFIXES = (".tif", ".png", ".jpg", ".jp2", ".vrt", ".webp", ".gif", ".bmp")
LIMITS = {  # what a shell does before the command, and behind it
    "nothing": ("", ""),
    "memory": ("ulimit -v 3000000;", ""),
    "files": ("ulimit -n 24;", ""),
    "file size": ("ulimit -f 8;", ""),
    "full output": ("", ">/dev/full"),
    "closed output": ("", ">&-"),
    "broken pipe": ("set -o pipefail;", "| head -c 1"),
}


class Case(NamedTuple):
    """One run."""

    name: str
    words: list[str]
    limit: str


def contents(url: str) -> dict[str, bytes]:
    """Return what the files hold, by name."""
    vrt = '<VRTDataset rasterXSize="{0}" rasterYSize="{0}"><VRTRasterBand dataType="Byte" band="1">{1}'
    end = "</VRTRasterBand></VRTDataset>"
    source = "<SimpleSource><SourceFilename>{}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
    wms = f"<GDAL_WMS><Service name='TMS'><ServerUrl>{url}/$z</ServerUrl></Service></GDAL_WMS>"
    return {
        "empty": b"",
        "zeros": bytes(4096),
        "cut jpeg": b"\xff\xd8\xff\xe0" + bytes(100),
        "cut png": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "cut tiff": b"II*\0\x08\0\0\0\xff\xff" + bytes(100),
        "remote vrt": (vrt.format(20, source.format(f"/vsicurl/{url}/a.tif")) + end).encode(),
        "local vrt": (vrt.format(20, source.format("/etc/hostname")) + end).encode(),
        "vast vrt": (vrt.format(2_000_000_000, "") + end).encode(),
        "wms": wms.encode(),
        "noise": np.random.default_rng(0).bytes(5000),
    }


def serve() -> tuple[str, list[str]]:
    """Return the address of a server, and the list of what is asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}", asked


def make_cases(folder: Path, url: str, weights: str) -> list[Case]:
    """Write the files and return the runs."""
    good = write_demo_scenes(folder / "good", train=6, val=2, size=(64, 64))
    cases = []
    for (name, data), suffix in product(contents(url).items(), SUFFIXES):
        stem = f"{name.replace(' ', '-')}{suffix}"
        bad = Path(shutil.copytree(good, folder / "bad" / stem))
        image = bad / "train/images" / f"a{suffix}"
        image.write_bytes(data)
        predict = ["predict.py", str(image), f"weights={weights}", "out=out/p"]
        cases.append(Case(f"predict {stem}", predict, "nothing"))
        cases += [Case(f"{tool} {stem}", words, "nothing") for tool, words in tools(bad)]
    cases += [Case(f"{tool} {limit}", words, limit) for limit in LIMITS for tool, words in tools(good)]
    return cases


def tools(data: Path) -> list[tuple[str, list[str]]]:
    """Return the scripts with a data set each."""
    module = ["-m", "datasets_tools"]
    train = [f"data.root={data}", "model.size=nano", "train.epochs=1", "data.image_size=64", "data.workers=1"]
    return [
        ("check", ["-m", "datasets_tools.check", str(data), "--out", "out/c", "--processes", "2"]),
        ("show", ["-m", "datasets_tools.show", str(data), "out/s", "--number", "3"]),
        ("split", ["-m", "datasets_tools.split", str(data), "out/t", "--size", "32", "--overlap", "8"]),
        ("convert", ["-m", "datasets_tools.convert", str(data), "out/k", "--from", "dota", "--to", "coco"]),
        ("train", ["train_GGHL.py", *train, "train.batch_size=2", "data.on_error=skip"]),
        ("tools", module),
    ]


def run(case: Case, folder: Path) -> str:
    """Return what went wrong with a run; nothing where it ended well or in a line."""
    before, behind = LIMITS[case.limit]
    work = folder / "work"
    work.mkdir(exist_ok=True)
    scripts = ("train_GGHL.py", "predict.py")
    words = [str(ROOT / word) if word in scripts else word for word in case.words]
    line = " ".join(f"'{word}'" for word in [sys.executable, *words])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = ["timeout", "-k", "5", str(SECONDS), "bash", "-c", f"{before} {line} {behind}"]
    result = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    if result.returncode in (124, 137):
        return "hang"
    if "Traceback" in result.stderr:
        return f"traceback: {result.stderr.strip().splitlines()[-1][:200]}"
    strays = {path.name for path in work.iterdir()} - {"out", "runs"}
    return f"files outside the target: {strays}" if strays else ""


def main() -> int:
    """Run a sample, or all, and count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--number", type=int, default=0, help="of runs, drawn by chance; 0: all")
    parser.add_argument("--weights", type=Path, default=ROOT / "runs/demo/best.pt", help="for predict.py")
    arguments = parser.parse_args()
    url, asked = serve()
    with tempfile.TemporaryDirectory() as name:
        cases = make_cases(Path(name), url, str(arguments.weights.absolute()))
        if arguments.number:
            order = np.random.default_rng(1).permutation(len(cases))
            cases = [cases[k] for k in order[: arguments.number]]
        faults = 0
        for case in cases:
            fault = run(case, Path(name))
            faults += bool(fault)
            sys.stdout.write(f"{case.name}: {fault}\n" if fault else "")
            sys.stdout.flush()
    sys.stdout.write(f"{len(cases)} runs, {faults} faults, {len(asked)} requests\n")
    return int(faults > 0 or len(asked) > 0)


if __name__ == "__main__":
    sys.exit(main())
