"""Examination of a data set: everything that is found, as text, JSON and a page."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from datasets_tools.doctor.files import has_flags, locate_splits, read_entries
from datasets_tools.doctor.findings import GRADES, Finding, most_serious_first, without_flags
from datasets_tools.doctor.images import examine_images, image_findings, image_sizes
from datasets_tools.doctor.labels import Labelled, read_labelled
from datasets_tools.doctor.page import Report, write_check_page
from datasets_tools.doctor.shapes import shape_findings
from datasets_tools.doctor.splits import split_findings
from datasets_tools.doctor.statistics import figures, summarise
from datasets_tools.doctor.twins import twin_findings
from utils.counts import counted
from utils.files import write_json

ERRORS_FOUND = 1  # exit code
SHOWN = 5  # places of a finding in the summary


def run(args: argparse.Namespace) -> int:
    """Examine as `datasets_tools.check` was asked to, write, and return 1 where an error was found."""
    root = args.dataset.expanduser()
    sources = locate_splits(root, args.splits)
    folder = root.parent if root.is_file() else root
    entries, findings, faults = read_entries(folder, sources)
    data, of_labels = read_labelled(folder, entries, args.classes, faults)
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
    findings = findings if has_flags(sources) else without_flags(findings)
    report = Report(root.resolve().name, _verdict(findings), findings, summarise(data, sizes), figures(data))
    out = args.out or Path("runs") / "check" / (root.resolve().stem or "data")
    write_findings(out / "check.json", report, data)
    write_check_page(out / "check.html", report, data, facts)
    sys.stdout.write(describe(report, data) + f"\nthe whole: {out / 'check.html'}, {out / 'check.json'}\n")
    return ERRORS_FOUND if any(finding.grade == "error" for finding in findings) else 0


def _verdict(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.grade for finding in findings)
    told = ", ".join(counted(counts[grade], grade) for grade in GRADES)
    meaning = "training would stop or go wrong" if counts["error"] else "nothing that would spoil a training"
    return f"{told}: {meaning}"


def describe(report: Report, data: Labelled) -> str:
    """Return the summary: how much there is, then the findings, most serious first."""
    shares = ", ".join(f"{split} {int(data.in_split(split).sum())}" for split in data.splits)
    names, count = data.objects.names, len(data.objects.quads)
    told = f"{counted(len(data.entries), 'image')} ({shares}), {counted(count, 'object')}"
    lines = [f"{report.name}: {told}, {counted(len(names), 'class')}"]
    for finding in report.findings:
        lines.append(f"\n{finding.grade.upper():8}{finding.total:6}  {finding.title}  [{finding.code}]")
        lines += [f"                {finding.detail}"] * bool(finding.detail)
        lines += [f"                  {place}" for place in finding.places[:SHOWN]]
        more = finding.total - min(len(finding.places), SHOWN)
        lines += [f"                  and {more} more"] * bool(more)
        lines += [f"                -> {finding.advice}"] * bool(finding.advice)
    return "\n".join([*lines, "", report.verdict])


def write_findings(path: Path, report: Report, data: Labelled) -> None:
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
    write_json(path, content, indent=1)
