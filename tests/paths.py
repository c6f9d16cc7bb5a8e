"""Where data and golden numbers for tests lie: here, or beside the repository unless the environment says."""

import os
from pathlib import Path

SHARED = Path(__file__).parents[2] / "shared"
DATA = Path(os.environ.get("GGHL_DATA", SHARED / "data"))
GOLDEN = Path(os.environ.get("GGHL_GOLDEN", SHARED / "golden"))
OWN_GOLDEN = Path(__file__).parent / "golden"  # small files that everybody has
