"""A sample of benchmarks/hostile.py: hostile files and exhausted machines, and that nothing goes unseen."""

import sys
from pathlib import Path

import pytest

from benchmarks import hostile
from benchmarks.hostile_cases import Case, make_cases

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="limits are set by a shell of Linux"),
    pytest.mark.xdist_group("hostile"),
]
URL, ASKED = hostile.serve()
SAMPLE = (  # script, kind, beginning of the name
    ("check", "missing shm", ""),
    ("check", "lying image", ""),
    ("convert", "labels", "cvat"),
    ("convert", "labels", "label-studio"),
    ("make_list", "broken pipe", ""),
    ("merge", "full disk", ""),
    ("predict", "lying image", "remote vrt"),
    ("predict", "full temporary disk", ""),
    ("results", "results", "huge"),
    ("resume", "checkpoint", ""),
    ("show", "folder", ""),
    ("split", "file size", ""),
    ("submit", "full output", ""),
    ("test", "memory", ""),
    ("train", "24 files", ""),
    ("train", "tiny shm", ""),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "template").mkdir()
    hostile.make_template(folder / "template")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("script", "kind", "name"), SAMPLE)
def test_a_run_ends_in_a_line(script: str, kind: str, name: str, folder: Path) -> None:
    cases = (case for case in make_cases(URL) if (case.script, case.kind) == (script, kind))
    case = next((case for case in cases if case.name.startswith(name)), None)
    if case is None:
        pytest.skip("needs mount namespaces, and root")
    assert hostile.run(case, SAMPLE.index((script, kind, name)), folder) == ""
    assert ASKED == []


def test_there_are_enough_runs_and_none_twice() -> None:
    cases = make_cases(URL)
    assert len(cases) >= 300
    assert len({(case.script, case.kind, case.name) for case in cases}) == len(cases)


WRONG: dict[str, tuple[str, str]] = {  # code of a script, and what is said of it
    "nothing": ("import os; os.makedirs('out'); open('out/a', 'w')", ""),
    "traceback": ("raise KeyError('x')", "exit code 1: KeyError: 'x'"),
    "crash": ("import os; os.abort()", "exit code -6"),
    "stray": ("open('../data/a', 'w')", "files outside the target: ['data/a']"),
    "changed": ("open('../data/old', 'a').write('x')", "files outside the target: ['data/old']"),
    "left in tmp": ("import os; open(os.environ['TMPDIR'] + '/x', 'w')", "target: ['tmp/x']"),
    "secret": ("import os; os.mkdir('out'); os.symlink('../../secret.png', 'out/a')", "the secret is out"),
    "hang": ("import time; time.sleep(60)", "hang"),
    "orphan": ("import os, time; os.fork() or time.sleep(60)", "hang, or processes left"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_seen(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("data", "work"):
        (tmp_path / "template" / place).mkdir(parents=True)
    (tmp_path / "template/data/old").write_text("old")
    (tmp_path / "template/secret.png").write_bytes(hostile.SECRET)
    monkeypatch.setattr(hostile, "WAIT", 0.3)
    code, said = WRONG[name]
    fault = hostile.run(Case("s", "k", name, ["-c", code]), 0, tmp_path, 1 if name == "hang" else 60)
    assert said in fault
    assert bool(fault) == bool(said)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"template", "home"}
