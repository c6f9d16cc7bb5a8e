"""What the scripts at the top level share: words of the command line, the device, and how errors end."""

import argparse
import logging
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from cfg.load import ConfigError
from utils.errors import UserError, first_line
from utils.interrupts import Interrupted

BAD_INPUT, INTERRUPTED = 2, 130  # exit codes
HelpFormatter = argparse.RawDescriptionHelpFormatter


def parse_words(
    parser: argparse.ArgumentParser, words: Sequence[str]
) -> tuple[argparse.Namespace, list[str]]:
    """Parse a command line in which ``section.key=value`` words may stand anywhere; return them apart.

    A word that names a file is no setting, whatever stands in it.
    """
    overrides = [word for word in words if "=" in word and word[0] != "-" and not Path(word).exists()]
    rest = [word for word in words if word not in overrides]
    return parser.parse_intermixed_args(rest), overrides  # a YAML may follow the options


def take_options(overrides: Sequence[str], names: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return the words of a script itself, ``name=value`` by name, and the settings that are left.

    Raises:
        UserError: neither a word of the script nor a setting.
    """
    pairs = [word.partition("=") for word in overrides]
    for key, _, value in pairs:
        if key not in names and "." not in key:
            words = ", ".join(f"{name}=" for name in names)
            raise UserError(f"'{key}={value}': expected {words} or section.key=value; there is no such file")
    options = {key: value for key, _, value in pairs if key in names}
    return options, ["=".join((key, value)) for key, _, value in pairs if key not in names]


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


def pick_device(name: str) -> torch.device:
    """Return the device that `name` means; ``auto`` is the first GPU, else the CPU.

    Raises:
        UserError: a name torch does not know, or a GPU that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"train.device={name}: not usable here: {str(error).splitlines()[0]}") from None
    return device


def run_script(main: Callable[[Sequence[str]], int | None]) -> int:
    """Run a script and return its exit code: 2 after one clear line where the input is at fault, or the disk.

    128 plus its number after a signal that the script has seen to, 130 after any other Ctrl-C; else what
    `main` returns, None being 0.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        return main(sys.argv[1:]) or 0
    except (ConfigError, UserError) as error:
        sys.stderr.write(f"error: {user_line(error)}\n")
        return BAD_INPUT
    except OSError as error:
        if error.errno is None:  # of a library, not of the system
            raise
        place = error.filename2 or error.filename
        sys.stderr.write(f"error: {f'{place}: ' if place else ''}{error.strerror or first_line(error)}\n")
        return BAD_INPUT
    except Interrupted as error:
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; what was saved before is complete\n")
        return INTERRUPTED


def user_line(error: Exception) -> str:
    """Return the message; of an error re-raised from a loader process, its last line without the trace."""
    text = str(error)
    if "Original Traceback" not in text:
        return text
    return text.strip().splitlines()[-1].partition(": ")[2]
