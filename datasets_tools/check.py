"""Examine a data set: what would make training stop or go wrong, what is worth mending, what it holds."""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from datasets_tools.doctor.files import find_sources, read_entries
from datasets_tools.doctor.findings import GRADES, Finding, most_serious_first
from datasets_tools.doctor.images import examine_images, image_findings, image_sizes
from datasets_tools.doctor.labels import Labelled, read_objects
from datasets_tools.doctor.page import Report, write_page
from datasets_tools.doctor.shapes import shape_findings
from datasets_tools.doctor.splits import split_findings
from datasets_tools.doctor.statistics import figures, summarise
from datasets_tools.doctor.twins import twin_findings
from utils.cli import HelpFormatter, parse_options, run_script
from utils.files import replacing

ERRORS_FOUND = 1  # exit code
SHOWN = 5  # places of a finding in the summary

ABOUT = """\
Examine a data set in any layout of docs/data.md: files, label lines, classes, shapes, images, and what two
splits have in common. Nothing in it is changed, and a fault never ends the examination.

Three grades: an error makes training stop or go wrong, a warning is worth mending, a note is good to know.
"""
EXAMPLE = """\
examples:
  python -m datasets_tools.check ../DOTA --splits train val
  python -m datasets_tools.check ../HRSC2016/train.txt --out runs/hrsc

what comes out: a summary on the screen, OUT/check.json with everything, OUT/check.html with figures and
pictures of the worst cases, which opens without a network. Exit code 1 with errors, 0 without, 2 where there
is nothing that can be examined.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets_tools.check",
        description=ABOUT,
        epilog=EXAMPLE,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("dataset", type=Path, help="its folder, or a list file")
    parser.add_argument("--splits", nargs="+", default=[], metavar="SPLIT", help="default: all there are")
    parser.add_argument("--classes", nargs="+", default=[], metavar="NAME", help="the names that are right")
    parser.add_argument("--out", type=Path, help="folder of the results (default: runs/check/DATASET)")
    parser.add_argument(
        "--fast", action="store_true", help="do not decode the images: damage and near-duplicates go unseen"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="default: one per core")
    return parser


def main(words: Sequence[str]) -> int:
    """Examine, write, and return 1 where an error was found."""
    args = parse_options(build_parser(), words)
    root = args.dataset.expanduser()
    sources = find_sources(root, args.splits)
    folder = root.parent if root.is_file() else root
    entries, findings, faults = read_entries(folder, sources)
    data, of_labels = read_objects(folder, entries, args.classes, faults)
    paths = list(dict.fromkeys(entry.image for entry in entries if entry.there))
    facts = dict(zip(paths, examine_images(paths, args.fast, args.processes), strict=True))
    sizes = image_sizes(data, facts)
    findings = most_serious_first(
        [
            *findings,
            *([] if args.splits else split_findings(root, sources)),
            *of_labels,
            *shape_findings(data, sizes),
            *image_findings(data, facts),
            *twin_findings(data, facts),
        ]
    )
    report = Report(root.resolve().name, _verdict(findings), findings, summarise(data, sizes), figures(data))
    out = args.out or Path("runs") / "check" / (root.resolve().stem or "data")
    write_json(out / "check.json", report, data)
    write_page(out / "check.html", report, data, facts)
    sys.stdout.write(describe(report, data) + f"\nthe whole: {out / 'check.html'}, {out / 'check.json'}\n")
    return ERRORS_FOUND if any(finding.grade == "error" for finding in findings) else 0


def _verdict(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.grade for finding in findings)
    told = ", ".join(f"{counts[grade]} {grade}{'s' * (counts[grade] != 1)}" for grade in GRADES)
    meaning = "training would stop or go wrong" if counts["error"] else "nothing that would spoil a training"
    return f"{told}: {meaning}"


def describe(report: Report, data: Labelled) -> str:
    """Return the summary: how much there is, then the findings, most serious first."""
    shares = ", ".join(f"{split} {int(data.in_split(split).sum())}" for split in data.splits)
    names, count = data.objects.names, len(data.objects.quads)
    lines = [f"{report.name}: {len(data.entries)} images ({shares}), {count} objects, {len(names)} classes"]
    for finding in report.findings:
        lines.append(f"\n{finding.grade.upper():8}{finding.total:6}  {finding.title}  [{finding.code}]")
        lines += [f"                {finding.detail}"] * bool(finding.detail)
        lines += [f"                  {place}" for place in finding.places[:SHOWN]]
        more = finding.total - min(len(finding.places), SHOWN)
        lines += [f"                  and {more} more"] * bool(more)
        lines += [f"                -> {finding.advice}"] * bool(finding.advice)
    return "\n".join([*lines, "", report.verdict])


def write_json(path: Path, report: Report, data: Labelled) -> None:
    """Write all numbers and findings, for programs."""
    hidden = ("rows", "pairs")
    content = {
        "dataset": report.name,
        "verdict": report.verdict,
        "classes": list(data.objects.names),
        "splits": report.summary,
        "findings": [
            {key: value for key, value in finding._asdict().items() if key not in hidden}
            for finding in report.findings
        ],
        "figures": [figure._asdict() for figure in report.figures],
    }
    with replacing(path) as temporary:
        text = json.dumps(content, indent=1, ensure_ascii=False)
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")  # a name may be no text


if __name__ == "__main__":
    sys.exit(run_script(main))
