"""Command line of the scripts: words, the device, and how errors end."""

import _thread
import argparse
import logging
import math
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cfg.listing import settings_text
from cfg.load import ConfigError, check_keys
from utils.errors import UserError, first_line
from utils.exhaustion import close_output, exhaustion, open_output, write_error
from utils.interrupts import Interrupted
from utils.option_words import Words

if TYPE_CHECKING:
    import torch

BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 2, 130, 141  # exit codes
HelpFormatter = argparse.RawDescriptionHelpFormatter
LISTING = "--settings"
STYLE = """\
Every option may be written --name value, --name=value or name=value; several values: name=a,b.
"""
SETTINGS_STYLE = """\
Settings, anywhere in the line: train.epochs=3, --train.epochs=3 or --train.epochs 3; lists without brackets:
data.image_size=512,640.  --settings shows all there are, --settings WORD some.
"""


def parse_options(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """Parse the command line of a tool, whose options may be written ``name=value``, too.

    A word that names a file is no option, whatever stands in it.
    """
    _show_style(parser, STYLE)
    return parser.parse_intermixed_args(Words(parser, has_settings=False).sort(words).rest)


def parse_words(
    parser: argparse.ArgumentParser, words: Sequence[str]
) -> tuple[argparse.Namespace, list[str]]:
    """Parse the command line of a script with settings; return these apart, as ``section.key=value`` words.

    ``--settings`` prints all there are and ends the script.

    Raises:
        ConfigError: a word that is neither an option nor a setting.
    """
    listing = "list all settings, or those that have a WORD in key or meaning, and end"
    parser.add_argument(LISTING, nargs="*", metavar="WORD", help=listing)
    _show_style(parser, STYLE + SETTINGS_STYLE)
    found = Words(parser, has_settings=True).sort(words)
    if LISTING in found.rest:  # before anything is asked for that the script needs
        searched = found.rest[found.rest.index(LISTING) + 1 :]
        sys.stdout.write(settings_text(searched, shutil.get_terminal_size().columns))
        raise SystemExit(0)
    check_keys(found.settings, [*found.options])
    return parser.parse_intermixed_args(found.rest), found.settings  # a YAML may follow the options


def _show_style(parser: argparse.ArgumentParser, style: str) -> None:
    parser.epilog = f"{parser.epilog}\n{style}" if parser.epilog else style


def positive_int(text: str) -> int:
    """Return a whole number above 0, for argparse."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text}")
    return int(text)


def whole_number(text: str) -> int:
    """Return a whole number from 0, for argparse."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {text!r}")
    return int(text)


def finite_number(text: str) -> float:
    """Return a number that is neither NaN, which no comparison notices, nor infinite, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"expected a finite number, got {text!r}")
    return number


def pick_device(name: str) -> "torch.device":
    """Return the device that `name` means; ``auto`` is the first GPU, else the CPU.

    Raises:
        UserError: a name torch does not know, or a GPU that is not there.
    """
    import torch  # two seconds that --help need not wait for

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        gpus = torch.cuda.device_count()
        if device.type == "cuda" and (device.index or 0) >= gpus:
            raise UserError(f"no such GPU, there are {gpus}" if gpus else "there is no GPU")
        if torch.empty(0, device=device).is_meta:
            raise UserError("it computes nothing")
    except (RuntimeError, AssertionError, ImportError, UserError) as error:
        raise UserError(f"train.device={name}: not usable here: {first_line(error)}") from None
    return device


def run_script(main: Callable[[Sequence[str]], int | None]) -> int:
    """Run a script and return its exit code: 2 after one clear line where the input is at fault, or the disk.

    128 plus its number after a signal that the script has seen to, 130 after any other Ctrl-C; else what
    `main` returns, None being 0.
    """
    open_output()
    logging.raiseExceptions = False  # a log that cannot be written is no reason to stop
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.INFO, stream=sys.stderr)
    in_threads = interrupting_threads()
    try:
        code = main(sys.argv[1:]) or 0
        sys.stdout.flush()  # a full disk is seen here, not by Python at its end
        return code
    except (Interrupted, KeyboardInterrupt) as error:
        if in_threads:
            write_error(f"error: {in_threads[0]}\n")
            return BAD_INPUT
        if isinstance(error, Interrupted):
            return error.exit_code
        write_error("interrupted; what was saved before is complete\n")
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        return BROKEN_PIPE
    except Exception as error:
        line = error_line(error)
        if line is None:  # a mistake of ours: where it was helps to mend it
            raise
        write_error(f"error: {line}\n")
        _let_go(error)
        return BAD_INPUT
    finally:
        close_output()


def _let_go(error: BaseException | None) -> None:
    """End the generators that an error has left, and their processes, before Python does it in no order."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


def interrupting_threads() -> list[str]:
    """Let a background thread that ends for want of something interrupt the main one, which may wait for it.

    Returns:
        What they lacked, filled as it happens; a mistake in a thread shows its traceback, as ever.
    """
    lines: list[str] = []

    def hook(ended: threading.ExceptHookArgs) -> None:
        line = exhaustion(ended.exc_value) if ended.exc_value else None
        if line is None:
            threading.__excepthook__(ended)
            return
        lines.append(line)
        if callable(signal.getsignal(signal.SIGINT)):
            _thread.interrupt_main()
        else:  # Ctrl-C is ignored, as behind nohup: nothing would reach the main thread
            write_error(f"error: {line}\n")
            _leave_no_folder()
            os._exit(BAD_INPUT)

    threading.excepthook = hook
    return lines


def _leave_no_folder() -> None:
    """Remove the temporary folder of this process's workers, as Python does at an end of its own."""
    folder = multiprocessing.current_process()._config.get("tempdir")  # type: ignore[attr-defined]  # noqa: SLF001
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def error_line(error: Exception) -> str | None:
    """Return the line about an error of the input or of the machine; None for a mistake of the code."""
    if isinstance(error, ConfigError | UserError):
        return user_line(error)
    return exhaustion(error)


def user_line(error: Exception) -> str:
    """Return the message; of an error re-raised from a loader process, its last line without the trace."""
    text = str(error)
    if "Original Traceback" not in text:
        return text
    return text.strip().splitlines()[-1].partition(": ")[2]
