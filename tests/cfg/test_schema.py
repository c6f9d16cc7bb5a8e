"""Each setting says what it means."""

import ast
from pathlib import Path

import pytest

from cfg.schema import Config, Section

CFG = Path(__file__).parents[2] / "cfg"
SETTINGS = [
    (f"{name}.{key}", field.description)
    for name, section in Config()
    for key, field in type(section).model_fields.items()
]


@pytest.mark.parametrize(("key", "description"), SETTINGS)
def test_every_setting_has_a_description(key: str, description: str | None) -> None:
    assert description, f"{key}: write a docstring below the field"
    assert len(description) > 10
    assert description.endswith(".")


def test_every_section_has_a_description_and_its_file() -> None:
    assert len(SETTINGS) > 100
    for name, field in Config.model_fields.items():
        assert field.description
        section = type(getattr(Config(), name))
        assert issubclass(section, Section)
        assert section.__module__ == f"cfg.{name}"
        tree = ast.parse((CFG / f"{name}.py").read_text())
        assert section.__name__ in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
