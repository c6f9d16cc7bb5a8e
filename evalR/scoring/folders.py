"""Folders of evaluations: each gets one of its own, and is found there again.

Files are written to DIR/.unfinished and moved to DIR when all are there, the record of how they were made
last: a folder without a record is not complete.  A lock, which ends with the process, keeps others away.
"""

import json
import logging
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from evalR.scoring.differences import HARMLESS_KEYS, MEASURED, differences, facts, said
from utils.distributed import from_main, is_main
from utils.errors import UserError
from utils.files import Lock

logger = logging.getLogger(__name__)
IDENTITY = tuple(key for key in HARMLESS_KEYS if key not in MEASURED)  # what may differ in one folder


class ResultFiles(NamedTuple):
    """The files of a kind of evaluation."""

    draft: str  # where they are written
    records: tuple[str, ...]  # one of them is in every complete folder; it holds the protocol
    others: tuple[str, ...]


EVALUATION = ResultFiles(
    ".unfinished",
    ("metrics.json", "protocol.json"),  # the latter for a split without labels
    (
        *("Task1", "metrics.csv", "metrics.txt", "predictions.jpg"),
        *("report", "speed.json", "sweep.csv", "sweep.png"),
    ),
)
COMPARISON = ResultFiles(".unfinished-compare", ("compare.json",), ("compare.csv", "compare.html"))


class ResultFolder(NamedTuple):
    """Where an evaluation goes."""

    folder: Path  # where the files are in the end
    draft: Path  # where they are written


@contextmanager
def evaluation_folder(
    wanted: Path, protocol: Mapping[str, Any], given: bool, kind: ResultFiles = EVALUATION
) -> Iterator[ResultFolder]:
    """Yield where to write; what is written, a record among it, is in the folder after a block without error.

    The wanted folder is taken if it is new or holds the same evaluation.  Else it is refused if somebody gave
    it, and otherwise WANTED-2, -3 and so on are tried.  The main process decides for all, and writes.

    Raises:
        UserError: the folder holds an evaluation that differs, or another process writes there.
    """
    claim, refusal = None, ""
    if is_main():
        try:
            claim = _claim(wanted, protocol, given, kind)
        except UserError as error:
            refusal = str(error)
    folder, refusal = from_main((claim.folder if claim else wanted, refusal))
    if refusal:
        raise UserError(refusal)
    place = ResultFolder(folder, folder / kind.draft / "files")
    if not claim:
        yield place
        return
    moving = False
    try:
        yield place
        moving = True
        _publish(place, kind)
        moving = False
    finally:
        claim.release(keep_draft=moving)


class _Claim(NamedTuple):
    folder: Path
    draft: Path
    lock: Lock
    made: list[Path]  # folders, the innermost first

    def release(self, keep_draft: bool = False) -> None:
        """Leave nothing but what is complete, or the draft, which says that the folder is not."""
        if not keep_draft:
            shutil.rmtree(self.draft, ignore_errors=True)
        self.lock.close()
        with suppress(OSError):  # not empty
            for folder in self.made:
                folder.rmdir()


def _claim(wanted: Path, protocol: Mapping[str, Any], given: bool, kind: ResultFiles) -> _Claim:
    first = ""
    for number in count(1):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        claim = _try(folder, protocol, kind)
        if isinstance(claim, _Claim):
            if first:
                logger.info("%s: results go to %s", first, folder)
            return claim
        if given:
            raise UserError(f"out={folder}: {claim}; expected a new folder, or one of the same evaluation")
        first = first or f"{folder} {claim}"
    raise AssertionError  # numbers do not end


def _try(folder: Path, protocol: Mapping[str, Any], kind: ResultFiles) -> _Claim | str:
    """Return the folder, locked; or why it cannot be had."""
    reason = _conflict(folder, protocol, kind)
    if reason:
        return reason
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    lock = Lock.of(folder / kind.draft / "lock")
    if lock is None:
        return "is being written by another process"
    claim = _Claim(folder, folder / kind.draft, lock, made)
    reason = _conflict(folder, protocol, kind)  # another process may have been done in between
    if reason:
        claim.release()
        return reason
    files = claim.draft / "files"
    shutil.rmtree(files, ignore_errors=True)  # of one that was killed
    files.mkdir()
    return claim


def _conflict(folder: Path, protocol: Mapping[str, Any], kind: ResultFiles) -> str:
    """Return why an evaluation must not go to a folder, as part of a line; empty: it may."""
    record = find_record(folder, kind)
    if record:
        known = read_protocol(record)
        if known is None:
            return f"has a {record.name} without a protocol"
        found = said(differences(known, protocol, IDENTITY))
        return f"has {found}" if found else ""
    if (folder / kind.draft).exists():  # what else is there was moved by one that was killed
        return ""
    others = [name for name in kind.others if (folder / name).exists()]
    return f"has {others[0]}, but no {kind.records[0]} that says how it was made" if others else ""


def _publish(place: ResultFolder, kind: ResultFiles) -> None:
    """Move what was written to where it belongs; in between, the folder has no record."""
    files = sorted(path for path in place.draft.rglob("*") if path.is_file())
    records = [place.draft / name for name in kind.records if (place.draft / name).is_file()]
    assert records
    for name in kind.records:
        (place.folder / name).unlink(missing_ok=True)
    for path in [*(path for path in files if path not in records), *records]:
        target = place.folder / path.relative_to(place.draft)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)


def find_record(folder: Path, kind: ResultFiles = EVALUATION) -> Path | None:
    """Return the file that says how the results of a folder were made, if there is one."""
    return next((folder / name for name in kind.records if (folder / name).is_file()), None)


def read_protocol(record: Path) -> dict[str, Any] | None:
    """Return the protocol of a record of any version; None: it is no such file."""
    try:
        values = json.loads(record.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None
    protocol = values.get("protocol") if isinstance(values, dict) else None
    return protocol if isinstance(protocol, dict) else None


def find_evaluations(place: Path, split: str) -> list[Path]:
    """Return the complete evaluations of a split, PLACE/eval-SPLIT, -2 and so on, the newest last.

    Those of older versions, which have no record where the split has no labels, count as complete.
    """
    name = re.compile(rf"eval-{re.escape(split)}(-\d+)?")
    folders = [path for path in sorted(place.glob("eval-*")) if name.fullmatch(path.name)]
    return sorted((folder for folder in folders if _is_of(folder, split)), key=_written)


def _is_of(folder: Path, split: str) -> bool:
    record = find_record(folder)
    if record is None:
        return (folder / "Task1").is_dir() and not (folder / EVALUATION.draft).exists()
    own = facts(read_protocol(record) or {}).get("eval.split")  # eval-x-2 may be the first of a split x-2
    return Path(own).stem == split if isinstance(own, str) else True


def _written(folder: Path) -> float:
    return (find_record(folder) or folder / "Task1").stat().st_mtime
