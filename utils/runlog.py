"""Run log: a table, TensorBoard, one picture of the curves, and the folder they live in."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from utils.errors import UserError, first_line
from utils.files import write_text
from utils.plots import count_along, panels, put_legend, save_figure

RESULTS = "results.csv"
EPOCH = "epoch"
# words of columns without a curve
UNDRAWN = {EPOCH, "step", "images", "second", "seconds", "time", "share", "note"}
PANELS = ("loss", "average precision", "learning rate")
LogValue = float | int | str | None


def new_run_folder(base: str | Path, name: str) -> Path:
    """Make and return base/NAME, or NAME-2, NAME-3 and so on where that is taken; nothing is overwritten.

    Raises:
        UserError: the name is no plain folder name.
    """
    if name in ("", ".", "..") or Path(name).name != name:
        raise UserError(f"train.name: expected a plain folder name, found {name!r}")
    base = Path(base)
    base.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        folder = base / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()  # fails when another process was quicker
        except FileExistsError:
            number += 1
        else:
            return folder


class RunLog:
    """Appends rows to FOLDER/results.csv and shows the same numbers in TensorBoard.

    An existing table is continued: columns keep their order, new ones come last, a line cut off by a crash is
    dropped, and with `resume_epoch` so are the rows of that epoch and later, which will be written again.

    Raises:
        UserError: what is there is no table.
    """

    def __init__(self, folder: str | Path, resume_epoch: int | None = None) -> None:
        self.path = Path(folder) / RESULTS
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._columns: list[str] = []
        if self.path.is_file():
            self._continue(resume_epoch)
        self._board = SummaryWriter(str(self.path.parent / "tensorboard"), purge_step=resume_epoch)

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, values: Mapping[str, LogValue]) -> None:
        """Append one row, normally of one epoch under the key `epoch`; its numbers go to TensorBoard, too."""
        new = [key for key in values if key not in self._columns]
        if new:
            rows = read_results_table(self.path) if self._columns else []
            self._columns += new
            self._rewrite(rows)
        with self.path.open("a", newline="") as file:
            file.write(_csv_line([_text(values.get(key)) for key in self._columns]))
        epoch = values.get(EPOCH)
        self.scalars(
            {k: v for k, v in values.items() if k != EPOCH}, epoch if isinstance(epoch, int) else None
        )

    def scalars(self, values: Mapping[str, LogValue], step: int | None) -> None:
        """Add numbers to TensorBoard only; text and None are left out."""
        for key, value in values.items():
            if isinstance(value, int | float):
                self._board.add_scalar(key, value, step)

    def image(self, name: str, image: NDArray[np.uint8], step: int) -> None:
        """Add a picture, (H, W, 3) uint8 RGB, to TensorBoard."""
        self._board.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Write what TensorBoard still holds."""
        self._board.close()

    def _continue(self, resume_epoch: int | None) -> None:
        rows = read_results_table(self.path)
        self._columns = _header(self.path)
        if resume_epoch is not None:
            rows = [row for row in rows if not _number(row.get(EPOCH, "")) >= resume_epoch]
        if self._columns:
            self._rewrite(rows)

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        lines = [self._columns, *([row.get(key, "") for key in self._columns] for row in rows)]
        write_text(self.path, "".join(_csv_line(line) for line in lines))


def _csv_line(cells: list[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


def _text(value: LogValue) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _whole_lines(path: Path) -> list[list[str]]:
    """Return the cells of all lines that end: a crash may leave half a line.

    Raises:
        UserError: it is no table.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1])))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: expected the table of a run, found {first_line(error)}") from None


def _header(path: Path) -> list[str]:
    return next(iter(_whole_lines(path)), [])


def read_results_table(path: str | Path) -> list[dict[str, str]]:
    """Return the rows of a results table as column -> text, empty where a value is missing."""
    lines = _whole_lines(Path(path))
    return [dict(zip(lines[0], line, strict=False)) for line in lines[1:]]


def _panel_of(column: str) -> str | None:
    """Say where a column is drawn: by `AP` or the word `lr` in its name, else as a loss; None: nowhere."""
    words = column.lower().replace("/", "_").split("_")
    if not UNDRAWN.isdisjoint(words):
        return None
    if "AP" in column:
        return "average precision"
    return "learning rate" if "lr" in words else "loss"


def save_curves(csv_path: str | Path, png_path: str | Path) -> None:
    """Draw the loss terms, the learning rate and the average precisions of a results table over the epochs.

    Columns are recognised by their names: `AP` in it, `lr` as a word of it; `epoch`, `step` and times are
    left out, and all others are loss terms.  A table without rows gives empty panels.
    """
    save_figure(png_path, curves_figure(csv_path))


def curves_figure(csv_path: str | Path) -> Figure:
    """Return the figure that `save_curves` saves."""
    rows, header = read_results_table(csv_path), _header(Path(csv_path))
    epochs = [_number(row.get(EPOCH, str(number))) for number, row in enumerate(rows)]
    columns = [[column for column in header if _panel_of(column) == panel] for panel in PANELS]
    figure, axes = panels(len(PANELS), columns)
    for axis, title, own in zip(axes, PANELS, columns, strict=True):
        _draw_panel(axis, {c: [_number(row.get(c, "")) for row in rows] for c in own}, epochs)
        axis.set_title(title)
    return figure


def _draw_panel(axis: Axes, curves: dict[str, list[float]], epochs: list[float]) -> None:
    for name, values in curves.items():
        points = [
            (x, y) for x, y in zip(epochs, values, strict=True) if math.isfinite(x) and math.isfinite(y)
        ]
        if points:  # a column written every few epochs is one line through its own points
            axis.plot(
                *zip(*points, strict=True), label=name, marker="." if len(points) < 40 else None, lw=1.2
            )
    count_along(axis, [epoch for epoch in epochs if math.isfinite(epoch)])
    axis.set_xlabel(EPOCH)
    axis.grid(alpha=0.3)
    put_legend(axis)
    values = [value for curve in curves.values() for value in curve if value > 0]
    if values and max(values) > 30 * min(values) and all("AP" not in name for name in curves):
        axis.set_yscale("log")  # loss terms differ by orders of magnitude
