from utils import startup  # noqa: F401 - the tools are scripts
