"""Hostile files and exhausted machines, through all scripts: counts tracebacks, hangs, requests and strays.

    python benchmarks/hostile.py                        all runs, half an hour on two cores
    python benchmarks/hostile.py --number 20            a sample
    python benchmarks/hostile.py --only disk            those with this word in script, kind or name

A stray is a file that a run leaves or changes outside of where it was told to write.  As root on Linux also
with a /dev/shm that is missing, read-only or tiny, a full disk and few threads, in mount namespaces and under
user numbers of their own; elsewhere these are left out.  Everything stays on this machine: the only server
listens on 127.0.0.1.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.hostile_cases import CLASSES, DATA, TARGETS, TRAIN, Case, make_cases
from benchmarks.hostile_files import SECRET
from dataloadR.demo.scenes import write_demo_scenes

ROOT = Path(__file__).parents[1]
SECONDS = 60
WAIT = 10  # s in which the helpers of a run that has ended end
LIBRARIES = ("OpenBLAS error",)  # C code that says what it lacks and ends the process itself
RASTER = {"width": 200, "height": 150, "count": 3, "dtype": "uint8", "driver": "GTiff", "crs": "EPSG:32633"}


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


def make_template(folder: Path) -> None:
    """Write what every run gets a copy of: data, results, a raster, and a short training."""
    data = write_demo_scenes(folder / "data", train=6, val=2, size=(64, 64))
    _, picture = cv2.imencode(".png", np.zeros((20, 20, 3), np.uint8))
    (folder / "secret.png").write_bytes(picture.tobytes() + SECRET)
    names = sorted(path.stem for path in (data / "val/images").iterdir())
    (folder / "names").write_text("\n".join(names))
    for place, suffix in (("results", ""), ("others", ""), ("tiles", "__1__0___0")):
        (folder / place).mkdir()
        lines = "".join(f"{name}{suffix} 0.5 1 1 30 1 30 20 1 20\n" for name in names)
        for label in CLASSES:
            (folder / place / f"Task1_{label}.txt").write_text(lines)
    pixels = np.random.default_rng(0).integers(0, 255, (3, 150, 200), np.uint8)
    cv2.imwrite(str(folder / "scene.tif"), pixels.transpose(1, 2, 0))
    with contextlib.suppress(ImportError):
        import rasterio

        place = rasterio.Affine(1, 0, 4e5, 0, -1, 5e6)
        with rasterio.open(folder / "scene.tif", "w", **RASTER, transform=place) as file:
            file.write(pixels)
    (folder / "work").mkdir()
    train = [sys.executable, ROOT / TRAIN[0], *TRAIN[1:], DATA, "data.workers=0"]
    subprocess.run(train, cwd=folder / "work", check=True, capture_output=True)
    (folder / "work/runs/data").rename(folder / "run")


def state_of(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return what there is below a folder except for the targets, with kind, size and time."""
    found = {}
    for place, folders, names in os.walk(folder):
        inside = Path(place).relative_to(folder)
        folders[:] = [name for name in folders if (inside / name).as_posix() not in TARGETS]
        for path in (Path(place, name) for name in (*folders, *names)):
            state = path.lstat()
            own = () if path.is_dir() else (state.st_size, state.st_mtime_ns)
            found[path.relative_to(folder).as_posix()] = (state.st_mode, *own)
    return found


def run(case: Case, number: int, folder: Path, seconds: float = SECONDS) -> str:
    """Return what went wrong with a run; nothing where it ended well or in a line."""
    at = Path(shutil.copytree(folder / "template", folder / f"run{number}"))
    try:
        case.make(at)
        (at / "tmp").mkdir()
        for place in filter(Path.is_dir, (at / "tmp", at / "work", at / "run")):
            place.chmod(0o777)  # a run may have another user number
        before = state_of(at)
        faults = start(case.command(number), at, seconds)
        changed = {path for path, _ in before.items() ^ state_of(at).items()}
        faults += [f"files outside the target: {sorted(changed)}"] * bool(changed)
        written = (path for place in ("out", "runs") for path in (at / "work" / place).rglob("*"))
        faults += ["the secret is out"] * any(
            SECRET in path.read_bytes() for path in written if path.is_file()
        )
        return "; ".join(faults)
    finally:
        shutil.rmtree(at, ignore_errors=True)


def start(words: Sequence[str], at: Path, seconds: float) -> list[str]:
    """Start a command, wait for its end, and return what is wrong with that."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TMPDIR": str(at / "tmp")}
    home = str(at.parent / "home")
    Path(home).mkdir(exist_ok=True, mode=0o777)
    Path(home).chmod(0o777)
    environment |= {"HOME": home, "TORCHINDUCTOR_CACHE_DIR": home, "PYTHONDONTWRITEBYTECODE": "1"}
    log = at.with_suffix(".log")
    with log.open("wb") as errors:
        process = subprocess.Popen(
            words,
            cwd=at / "work",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        faults = [] if has_ended(process, seconds) else [f"hang, or processes left after {seconds} s"]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    text = log.read_text(errors="replace")
    last = (text.strip().splitlines() or [""])[-1][:300]
    found_errors = code == 1 and "datasets_tools check" in words[-1]  # what `check` says of bad data
    found_errors |= last.startswith(LIBRARIES)
    ended_badly = "Traceback" in text or code < 0 or code in (134, 135, 137, 139)
    if not faults and (ended_badly or (code == 1 and not found_errors)):
        faults.append(f"exit code {code}: {last}")
    return faults


def has_ended(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Wait, and return whether a process and all of its group have ended."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    for _ in range(round(WAIT * 10)):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def main() -> int:
    """Run a sample, or all, and count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--number", type=int, default=0, help="of runs, drawn by chance; 0: all")
    parser.add_argument("--only", default="", help="a word in the script, the kind or the name of a run")
    parser.add_argument("--processes", type=int, default=2, help="runs at the same time; default 2")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="until a run hangs; more on a busy machine"
    )
    arguments = parser.parse_args()
    url, asked = serve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "template").mkdir()
        make_template(folder / "template")
        cases = [c for c in make_cases(url) if arguments.only in f"{c.script}, {c.kind}, {c.name}"]
        order = np.random.default_rng(1).permutation(len(cases))[: arguments.number or None]
        counts, bad = Counter[tuple[str, str]](), 0
        with ThreadPoolExecutor(arguments.processes) as pool:
            jobs = {
                int(k): pool.submit(run, cases[k], number, folder, arguments.seconds)
                for number, k in enumerate(order)
            }
            for k, job in tqdm(jobs.items(), unit="run", mininterval=10):
                case, faults = cases[k], job.result()
                counts[case.script, case.kind] += 1
                bad += bool(faults)
                if faults:
                    tqdm.write(f"{case.script}, {case.kind}, {case.name}: {faults}")
                    sys.stdout.flush()
    for (script, kind), count in sorted(counts.items()):
        sys.stdout.write(f"{script:<14} {kind:<20} {count:>4}\n")
    sys.stdout.write(f"{counts.total()} runs, {bad} with faults, {len(asked)} requests\n")
    return int(bad > 0 or len(asked) > 0)


if __name__ == "__main__":
    sys.exit(main())
