import utils.startup  # noqa: F401 - the tools are scripts
