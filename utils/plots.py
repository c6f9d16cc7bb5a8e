"""Plots of matplotlib: legends off the curves, colours of classes, whole numbers on axes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from utils.files import replacing
from utils.palette import class_colour, hex_colour

PANEL = (4.6, 4.2)  # inches; the height with one row of a legend
MARGIN = 0.6  # inches of a panel's width, left of its axes
LEGEND = 8  # points, the letters of a legend
ROW = LEGEND * 1.6 / 72  # inches of a row of a legend
AWAY = 0.52  # inches from the axes down to the legend; axis numbers and their name are between
LINES = ("-", "--", ":")  # of classes 0 to 9, 10 to 19, 20 to 29, and so on
STYLE: dict[str, Any] = {
    "fontsize": LEGEND,
    "title_fontsize": LEGEND + 1,
    "frameon": False,
    "columnspacing": 1.2,
    "handlelength": 2.2,
}


def panels(count: int, names: Sequence[Sequence[str]], wide: Sequence[str] = ()) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels side by side, below which there is room for legends.

    Args:
        names: what the legends below the panels will say.
        wide: what the legend below all of them will say.
    """
    more = [_rows(own, PANEL[0]) - 1 for own in names if own]
    height = PANEL[1] + ROW * (max(more, default=0) + _rows(wide, PANEL[0] * count))
    figure = Figure(figsize=(PANEL[0] * count, height), layout="constrained")
    FigureCanvasAgg(figure)  # pyplot would keep a global list of figures
    return figure, list(figure.subplots(1, count))


def _columns(names: Sequence[str], width: float) -> int:
    """Return how many columns of these names stand side by side in so many inches."""
    widest = max((len(name) for name in names), default=0)
    column = (widest * 0.62 + 4.5) * LEGEND / 72  # inches: letters, line and gap
    return max(1, min(len(names), int((width - MARGIN) / column)))


def _rows(names: Sequence[str], width: float) -> int:
    return -(-len(names) // _columns(names, width))


def put_legend(axis: Axes) -> None:
    """Put the legend of a panel below it, where no curve is."""
    names = [str(line.get_label()) for line in axis.lines]
    if names:
        figure = axis.get_figure(root=True)
        assert figure  # `panels` made both
        below = axis.transAxes + ScaledTranslation(0, -AWAY, figure.dpi_scale_trans)
        axis.legend(
            loc="upper left",
            bbox_to_anchor=(0, 0),
            bbox_transform=below,
            borderaxespad=0,
            ncols=_columns(names, PANEL[0]),
            **STYLE,
        )


def put_wide_legend(figure: Figure, axis: Axes) -> None:
    """Put the legend of a panel with many curves below all panels."""
    names = [str(line.get_label()) for line in axis.lines]
    if names:
        columns = _columns(names, float(figure.get_figwidth()))
        title = str(axis.get_title())
        figure.legend(
            handles=axis.lines,
            loc="outside lower center",
            ncols=columns,
            title=title,
            **STYLE,
        )


def class_line(label: int) -> dict[str, Any]:
    """Return colour and kind of the line of a class; the colour is that of its objects in pictures."""
    return {"color": hex_colour(class_colour(label)), "ls": LINES[label // 10 % len(LINES)]}


def count_along(axis: Axes, values: Sequence[float]) -> None:
    """Let the x axis show these values, epochs for instance, with whole numbers alone."""
    axis.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True, min_n_ticks=1))
    if values and max(values) - min(values) < 1:
        axis.set_xlim(min(values) - 0.5, max(values) + 0.5)


def save_figure(path: str | Path, figure: Figure) -> None:
    """Write a PNG; it appears whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
