"""Train detectors one after another in the processes of one launch, whose start takes longer than that.

python tests/train_many.py SUFFIX YAML,YAML+WORD ... WORD ...
"""

import gc
import os
import sys
from pathlib import Path

import train_GGHL
from cfg.load import load_config
from utils import distributed


def main(suffix: str, yamls: str, *words: str) -> None:
    """Train each YAML into runs/NAME-SUFFIX."""
    for number, entry in enumerate(yamls.split(",")):
        yaml, *own = entry.split("+")
        os.environ["TORCHELASTIC_RESTART_COUNT"] = str(number)  # each group has a store of its own
        try:
            train_GGHL.train(load_config(yaml, [*words, *own]), f"{Path(yaml).stem}-{suffix}")
        finally:
            distributed.leave()
        gc.collect()  # ends the workers of its data loader


if __name__ == "__main__":
    main(*sys.argv[1:])
