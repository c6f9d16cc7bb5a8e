"""Where the data and golden numbers for tests lie: beside the repository, unless the environment says."""

import os
from pathlib import Path

SHARED = Path(__file__).parents[2] / "shared"
DATA = Path(os.environ.get("GGHL_DATA", SHARED / "data"))
GOLDEN = Path(os.environ.get("GGHL_GOLDEN", SHARED / "golden"))
