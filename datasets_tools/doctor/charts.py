"""Bar charts of how objects are spread."""

from collections.abc import Mapping

from datasets_tools.doctor.statistics import Figure
from utils.charts import Bar, Chart, Word, shorten_text

WIDTH = 360.0  # units of the drawing; the page scales it
ROW, BAR, LABEL, NUMBER, CHARACTERS = 15.0, 10.0, 120.0, 62.0, 20  # sideways bars, one class each
TALL, FOOT, HEAD = 150.0, 20.0, 16.0  # upright bars
MAX_ROWS = 40
MAX_WORDS = 12  # under upright bars


def sideways(figure: Figure, colours: Mapping[str, str]) -> Chart:
    """Return one row per bin, the splits one behind the other, for bins with long names."""
    bars: list[Bar] = []
    words: list[Word] = []
    totals = [sum(row) for row in zip(*figure.counts.values(), strict=True)]
    scale = (WIDTH - LABEL - NUMBER) / max([*totals, 1])
    for n, name in enumerate(figure.bins[:MAX_ROWS]):
        words.append(Word(LABEL - 5, n * ROW + 11, shorten_text(name, CHARACTERS), "end"))
        x = LABEL
        for split, counts in figure.counts.items():
            width = round(counts[n] * scale, 2)
            bars.append(Bar(x, n * ROW + 2, width, BAR, colours[split], f"{split}, {name}: {counts[n]}"))
            x = round(x + width, 2)
        words.append(Word(x + 4, n * ROW + 11, f"{totals[n]:,}", "start"))
    rows = min(len(figure.bins), MAX_ROWS)
    if len(figure.bins) > MAX_ROWS:
        words.append(Word(LABEL, rows * ROW + 12, f"and {len(figure.bins) - MAX_ROWS} more", "start"))
        rows += 1
    return Chart(figure.title, WIDTH, rows * ROW + 4, bars, words)


def upright(figure: Figure, colours: Mapping[str, str]) -> Chart:
    """Return one column per bin, the splits side by side as shares of their own sum."""
    bars: list[Bar] = []
    sums = {split: max(sum(counts), 1) for split, counts in figure.counts.items()}
    highest = max([c / sums[s] for s, counts in figure.counts.items() for c in counts] + [1e-9])
    step = WIDTH / max(len(figure.bins), 1)
    width = round(step * 0.8 / max(len(figure.counts), 1), 2)
    every = -(-len(figure.bins) // MAX_WORDS)
    words = [Word(0, 11, f"highest: {highest:.0%} of the {figure.unit} of a split", "start")]
    for n, name in enumerate(figure.bins):
        if n % every == 0:
            words.append(Word(round((n + 0.5) * step, 2), HEAD + TALL + 13, name))
        for place, (split, counts) in enumerate(figure.counts.items()):
            height = round(counts[n] / sums[split] / highest * TALL, 2)
            x = round((n + 0.1) * step + place * width, 2)
            title = f"{split}, from {name}: {counts[n]} {figure.unit}, {counts[n] / sums[split]:.1%}"
            bars.append(Bar(x, round(HEAD + TALL - height, 2), width, height, colours[split], title))
    return Chart(figure.title, WIDTH, HEAD + TALL + FOOT, bars, words)
