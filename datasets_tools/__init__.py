import utils.installation  # noqa: F401 - the tools are scripts
