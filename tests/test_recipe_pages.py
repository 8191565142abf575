"""docs/recipes/ is what docs/recipe_pages.py makes of the catalogue; `--refresh` writes it."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from homes import ROOT
from msgspec import structs

from devsetup.loader import Loader
from devsetup.recipe import Recipe, When

PAGES = ROOT / "docs" / "recipes"
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("recipe_pages", ROOT / "docs" / "recipe_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # msgspec asks there what the names of a struct's types mean
    spec.loader.exec_module(module)
    return module


MAKER = load()
RECIPES = Loader(ROOT).recipes()
PATHS = [PAGES / f"{name}.md" for name in ("README", *(recipe.name for recipe in RECIPES))]


@functools.cache
def made() -> dict[Path, str]:
    """Every page; not made while tests are only collected, since it plans every recipe on every host."""
    return MAKER.pages()  # type: ignore[no-any-return]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_page_is_made_from_the_catalogue(path: Path, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--refresh"):
        path.write_text(made()[path], "utf-8")
    assert path.exists(), f"no page; make it with: pytest {__file__} --refresh"
    assert path.read_text("utf-8") == made()[path]


def test_no_page_is_left_over() -> None:
    assert set(PAGES.glob("*.md")) == set(made()) == set(PATHS)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_links_lead_somewhere(path: Path) -> None:
    links = [link for link in LINK.findall(made()[path]) if not link.startswith("https://")]
    assert links
    assert [link for link in links if not (path.parent / link).exists() and "symptoms.md" not in link] == []


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_row_of_a_table_has_as_many_cells_as_its_head(path: Path) -> None:
    tables = made()[path].partition(MAKER.BEGIN)[2] or made()[path]
    width = 0
    for line in tables.splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not (width and cells) or cells == width, line
        width = cells


def test_the_readme_and_the_index_lead_to_every_page() -> None:
    assert "(docs/recipes/README.md)" in (ROOT / "README.md").read_text("utf-8")
    index = made()[PAGES / "README.md"]
    for recipe in RECIPES:
        assert f"]({recipe.name}.md)" in index


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_page_has_every_source_option_patch_and_claim(recipe: Recipe) -> None:
    page = made()[PAGES / f"{recipe.name}.md"].partition(MAKER.BEGIN)[2]
    for source in recipe.possible_sources:
        assert source.sha256 in page
    for option in recipe.options:
        assert f"| `{option.name}` | `{option.default}`" in page
    for patch in recipe.patches:
        row = next(line for line in page.splitlines() if line.startswith(f"| [{patch.name}]"))
        assert patch.why.split("<")[0] in row
        assert patch.upstream in row
    for platform, status, _ in recipe.seen:
        assert f"| {platform} | {status} |" in page
    assert recipe.licence in page


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_claim_has_one_of_three_words(recipe: Recipe) -> None:
    assert recipe.seen, "say what was run, and what was not"
    assert {status for _, status, _ in recipe.seen} <= set(MAKER.STATUSES)


def test_a_refusal_has_its_reason_and_its_hosts() -> None:
    page = made()[PAGES / "r.md"]
    assert "| macos | there is no plan for R on macOS yet;" in page
    assert "| ubuntu 20.04 | r-base is 3.6.3, and the comparison is for R 4;" in page
    assert "Planned from declared facts: debian; fedora; ubuntu 22.04, 24.04." in page


def test_what_is_written_by_hand_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied(tmp_path, monkeypatch)
    (tmp_path / "r.md").write_text(f"# By hand\n\nwords\n\n{MAKER.BEGIN}\n\nold tables\n", "utf-8")
    (tmp_path / "theano.md").unlink()
    again = MAKER.pages()
    assert again[tmp_path / "r.md"].startswith(f"# By hand\n\nwords\n\n{MAKER.BEGIN}\n\n## The recipe in tables\n")
    assert "old tables" not in again[tmp_path / "r.md"]
    assert again[tmp_path / "theano.md"].startswith(
        "# theano\n\nTheano, which compiles mathematical expressions to C.\n"
    )
    for path, text in again.items():
        path.write_text(text, "utf-8")
    assert MAKER.pages() == again


def test_sources_that_depend_on_a_choice_are_told_with_it() -> None:
    caffe = next(recipe for recipe in RECIPES if recipe.name == "caffe")
    first, second = caffe.sources
    changed = structs.replace(caffe, sources=(second,), option_sources=((When(options={"blas": "mkl"}), (first,)),))
    groups = [row for group in MAKER._source_groups(changed) for row in MAKER._source_rows(changed, *group)]
    assert [row[1] for row in groups] == ["`blas=mkl`", "otherwise"]
    assert [row[3] for row in groups] == [f"`{first.sha256}`", f"`{second.sha256}`"]


def symptom(**fields: str) -> str:
    """An entry of a file of symptoms, with what a page does not tell left empty."""
    told = "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())
    rest = 'patterns = ["fatal error: x"]\ncause = "x"\nremedies = []\nconfidence = "C"\nsources = []\nmatches = []\n'
    return f"[[symptom]]\n{told}{rest}"


TOO_OLD = symptom(id="too-old", title="this R has no <%= seen.name %> | at all", where="runtime", affects="R before 4")
BLAS_GONE = symptom(id="blas-gone", title="no BLAS", where="import", affects="Theano and other code")
UNRELATED = symptom(id="unrelated", title="the r in here is no name", where="build")


def test_known_failures_are_told_where_they_belong(tmp_path: Path) -> None:
    root = tmp_path / "catalogue"
    for name in ("recipes", "patches", "workloads", "hosts"):
        shutil.copytree(ROOT / name, root / name)
    (root / "symptoms").mkdir()
    (root / "symptoms/r.toml").write_text(TOO_OLD, "utf-8")
    (root / "symptoms/other.toml").write_text(BLAS_GONE + UNRELATED, "utf-8")
    told = {path.stem: text for path, text in MAKER.pages(root).items()}
    assert r"| [too-old](../symptoms.md#too-old) | this R has no NAME \| at all | runtime |" in told["r"]
    assert "| [blas-gone](../symptoms.md#blas-gone) | no BLAS | import |" in told["theano"]
    assert "blas-gone" not in told["r"]
    assert "Known failures" not in told["cuda"]
    assert not any("unrelated" in text for text in told.values())


def copied(to: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pages in a place of their own; returns their file of measurements."""
    for path in PAGES.iterdir():
        if path.is_file():
            shutil.copy2(path, to)
    monkeypatch.setattr(MAKER, "HERE", to)
    return to / "measured.toml"


def test_a_measurement_says_what_it_was_measured_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = copied(tmp_path, monkeypatch)
    text = measured.read_text("utf-8")
    for broken, words in (
        (text.replace('command = "devsetup install r -y"\n', "", 1), "missing required field `command`"),
        (re.sub(r"date = \S+", 'date = "lately"', text, count=1), "Invalid RFC3339"),
        (text + "pages = 7\n", "unknown field `pages`"),
    ):
        measured.write_text(broken, "utf-8")
        with pytest.raises(msgspec.ValidationError, match=words):
            MAKER.pages()


def test_measurements_are_of_recipes_that_exist() -> None:
    measured = msgspec.toml.decode((PAGES / "measured.toml").read_bytes(), type=MAKER.Measured)
    assert {each.recipe for each in measured.measured} <= {recipe.name for recipe in RECIPES}
    for each in measured.measured:
        row = f"| {each.what} | {each.figure} | `{each.command}` | {each.date.isoformat()}, "
        assert row in made()[PAGES / f"{each.recipe}.md"]
