"""docs/symptoms.md is what docs/symptoms.py makes of the symptom files; `--refresh` writes it."""

from __future__ import annotations

import importlib.util

import pytest
from homes import ROOT

PAGE = ROOT / "docs" / "symptoms.md"


def test_the_page_is_made_from_the_files(request: pytest.FixtureRequest) -> None:
    spec = importlib.util.spec_from_file_location("symptoms_page", ROOT / "docs" / "symptoms.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.page()
    if request.config.getoption("--refresh"):
        PAGE.write_text(made, "utf-8")
    assert PAGE.read_text("utf-8") == made
