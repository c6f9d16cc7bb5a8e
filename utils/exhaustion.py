"""Exhausted machines: what they say, in one line; output that is closed or full."""

import errno
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

LACKS = (  # words of libraries in lower case, and what they mean
    (("cuda out of memory", "cuda error: out of memory", "hip out of memory"), "gpu memory"),
    (("unable to allocate", "can't allocate memory", "cannot allocate memory", "bad_alloc"), "memory"),
    (("failed to allocate", "not enough memory", "insufficient memory", "out of memory"), "memory"),
    (("failed to map segment", "cannot map zero-fill pages"), "memory"),  # of a library that is loaded
    (
        ("without exception set", "without setting an exception"),
        "memory",
    ),  # of C code
    (("memory allocation failed", "std::bad_array_new_length", "mmap: cannot"), "memory"),
    (("can't start new thread", "resource temporarily unavailable", "cannot create thread"), "processes"),
    (("too many open files", "received 0 items of ancdata"), "files"),
    (("no space left on device", "file write failed", "errno 28", "disk quota exceeded"), "disk"),
    (("file too large", "file size limit"), "size"),
    (("bus error", "insufficient shared memory", "unable to open shared memory"), "shm"),
    (("/torch_", "shm_open"), "shm"),
    (("killed by signal: segmentation", "killed by signal: killed"), "killed"),
    ((f"exited unexpectedly with exit code {errno.EMFILE}",), "files"),  # see dataloadR/loader.py
    ((f"exited unexpectedly with exit code {errno.EAGAIN}",), "processes"),
    ((f"exited unexpectedly with exit code {errno.ENOMEM}",), "memory"),
    ((f"exited unexpectedly with exit code {errno.ENOSPC}",), "shm"),
    (("exited unexpectedly",), "ended"),
    (("symlink loop",), "loop"),
)
ADVICE = {
    "gpu memory": "the GPU has too little memory: try a smaller train.batch_size, eval.batch_size or "
    "predict.batch_size, or a larger train.accumulate",
    "memory": "the machine has too little memory: try a smaller batch size (train.batch_size, "
    "predict.batch_size), data.workers=0, data.cache_gb=0 or --processes 1",
    "processes": "no more processes or threads may be started (ulimit -u): try data.workers=0, --processes 1 "
    "and OMP_NUM_THREADS=1",
    "files": "too many open files (ulimit -n): try data.workers=0 or --processes 1, or allow more",
    "disk": "no space is left on the disk",
    "shm": "too little shared memory (/dev/shm), or none that can be written: try data.workers=0 or "
    "--processes 1; a container takes --shm-size",
    "killed": "a worker was killed, most likely for lack of memory: try data.workers=0",
    "ended": "a worker has ended, most likely for lack of memory, open files or threads: try data.workers=0",
    "size": "a file became larger than is allowed (ulimit -f)",
    "loop": "a link leads to itself",
}
# what tells of a mistake in the code, whatever it was that the code was handling
MISTAKES = (TypeError, AttributeError, NameError, LookupError, AssertionError, ArithmeticError, ValueError)
WITH_ADVICE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)  # whose own words help little
SHOWN = 160  # characters of what was said


def exhaustion(error: BaseException) -> str | None:
    """Return what the machine lacks and what may help; None where the error is about something else.

    Libraries say it in errors of their own, raised from the system's or while handling it, and are believed.
    A mistake of the code is never hidden: not by what came before it, and not by words in its message.
    """
    for cause in _chain(error):
        if isinstance(cause, MISTAKES):
            return None
        line = _lack_line(cause)
        if line:
            return line if cause is error else f"{line}; then {type(error).__name__}: {_said(error)}"
    return None


def _lack_line(error: BaseException) -> str | None:
    """Return the line about one error, whatever came before it."""
    if isinstance(error, MemoryError):
        return _line("memory", error)
    return system_line(error) if isinstance(error, OSError) else exhaustion_of_text(error)


def system_line(error: OSError) -> str | None:
    """Return the line about an error of the system; None for one of a library."""
    if error.errno is None:
        return exhaustion_of_text(error)
    place = error.filename2 or error.filename
    said = error.strerror or _said(error)
    lack = exhaustion_of_text(error) if error.errno in WITH_ADVICE else None
    return f"{f'{place}: ' if place else ''}{lack or said}"


def exhaustion_of_text(error: BaseException) -> str | None:
    """Return what an error's own words mean, if they mean a lack of something."""
    text = _message(error).lower()
    lack = next((lack for words, lack in LACKS if any(word in text for word in words)), None)
    return _line(lack, error) if lack else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, or while; `from None` says that this is past."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        before = None if current.__suppress_context__ else current.__context__
        current = current.__cause__ or before


def _line(lack: str, error: BaseException) -> str:
    said = _said(error)
    return f"{ADVICE[lack]} ({said})" if said else ADVICE[lack]


def _said(error: BaseException) -> str:
    """Return the first line of a message; of one from another process, that of the error itself."""
    return (_message(error).strip().splitlines() or [""])[0].strip()[:SHOWN]


def _message(error: BaseException) -> str:
    """Return the message, without the trace that one from another process has: lines of code are no words."""
    text = str(error)
    return text.rpartition("\n  ")[2].partition("\n")[2] if "Traceback" in text else text


def write_error(text: str) -> None:
    """Write to standard error; where that is closed or full there is nobody to tell."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass


def open_output() -> None:
    """Let everything be written: whatever it is, and where the output was closed before the process began."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - until the end
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error: names of files may be no text


def close_output() -> None:
    """Flush standard output; what cannot be written would be a traceback when Python ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            _to_nowhere(stream)


def _to_nowhere(stream: object) -> None:
    try:
        number = stream.fileno()  # type: ignore[attr-defined]
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
    except (OSError, ValueError, AttributeError):
        pass
