from __future__ import annotations

import msgspec
import pytest
from test_when import machine

from devsetup import plan as plans
from devsetup.errors import InvalidInput, Refused, UsageError
from devsetup.facts import Library, OperatingSystem
from devsetup.planner import Catalogue, Wish, make_plan
from devsetup.recipe import Context, Option, Patch, Recipe, SystemLibrary, When
from devsetup.steps import ApplyPatch, LocalSource, Run, Step, SystemPackages, UrlSource

DIFF = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+<%= options.colour %>\n"


def steps(ctx: Context):  # noqa: ANN201
    yield from ctx.source(into="@BUILD@/t")
    yield from ctx.patches(tree="@BUILD@/t")
    yield Run(argv=("make", ctx.options.get("colour", "")), title="make")


def recipe(name: str, **changes: object) -> Recipe:
    values: dict[str, object] = {
        "name": name,
        "version": "1",
        "summary": "s",
        "homepage": "h",
        "licence": "MIT",
        "steps": steps,
        "sources": (UrlSource(id="1", url="https://example.org/x", sha256="0" * 64),),
    }
    return Recipe(**{**values, **changes})  # type: ignore[arg-type]


def catalogue(*recipes: Recipe) -> Catalogue:
    known = {each.name: each for each in recipes}

    def find(name: str) -> Recipe:
        if name not in known:
            raise UsageError(f"no recipe named {name!r}")
        return known[name]

    return Catalogue(
        recipe=find,
        texts=lambda each: {f"patches/{each.name}/{patch.name}": DIFF for patch in each.patches},
        libraries={
            "blas": SystemLibrary(apt=("libopenblas-dev", "libb"), brew=("openblas",)),
            "zlib": SystemLibrary(apt=("zlib1g-dev",)),
        },
    )


def plan(*recipes: Recipe, wish: Wish, **facts: object) -> plans.Plan:
    return make_plan(wish, machine(**facts), catalogue(*recipes))


COLOUR = Option(name="colour", help="", choices=("red", "blue"), default="red", defaults=((When(os="macos"), "blue"),))


def test_needs_come_first_and_their_keys_are_recorded() -> None:
    made = plan(
        recipe("app", needs=("lib", "base")), recipe("lib", needs=("base",)), recipe("base"), wish=Wish(names=("app",))
    )
    assert [part.name for part in made.parts] == ["base", "lib", "app"]
    assert made.parts[2].needs == (made.parts[1].key, made.parts[0].key)
    assert made.wanted == (made.parts[2].key,)


def test_a_change_in_a_need_changes_the_key_of_what_needs_it() -> None:
    wish = Wish(names=("app",))
    before = plan(recipe("app", needs=("lib",)), recipe("lib"), wish=wish)
    after = plan(recipe("app", needs=("lib",)), recipe("lib", version="2"), wish=wish)
    assert before.parts[1].digest != after.parts[1].digest


def test_a_circle_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"circle: (a -> b -> a|b -> a -> b)"):
        plan(recipe("a", needs=("b",)), recipe("b", needs=("a",)), wish=Wish(names=("a",)))


def test_the_same_facts_give_the_same_bytes() -> None:
    wish = Wish(names=("app",))
    made = [plan(recipe("app", libraries=("blas", "zlib")), wish=wish) for _ in range(2)]
    assert plans.to_json(made[0]) == plans.to_json(made[1])
    assert made[0].digest == made[1].digest


def test_facts_that_do_not_reach_a_step_do_not_change_the_digest() -> None:
    wish = Wish(names=("app",))
    one = plan(recipe("app"), wish=wish, memory_mb=1000, cores=1)
    two = plan(recipe("app"), wish=wish, memory_mb=9000, cores=8)
    assert one.digest == two.digest
    other = plan(recipe("app"), wish=wish, os=OperatingSystem(id="debian", version="13"))
    assert one.digest != other.digest


def test_installing_a_library_does_not_change_the_digest() -> None:
    """Otherwise the second install, after apt has run, would build everything again."""
    wish = Wish(names=("app",))
    patch = Patch(name="p", why="w", when=When(libraries={"protobuf": ">=3.18"}))
    digests = {
        plan(
            recipe("app", patches=(patch,), options=(COLOUR,)),
            wish=wish,
            libraries={"protobuf": Library(version="3.21.12", installed=installed)},
        ).digest
        for installed in (True, False)
    }
    assert len(digests) == 1


def test_packages_are_those_of_the_manager_sorted_and_first() -> None:
    (part,) = plan(recipe("app", libraries=("zlib", "blas")), wish=Wish(names=("app",))).parts
    assert part.steps[0] == SystemPackages(manager="apt", names=("libb", "libopenblas-dev", "zlib1g-dev"))
    assert part.packages == ("libb", "libopenblas-dev", "zlib1g-dev")


def test_libraries_may_depend_on_an_option() -> None:
    app = recipe("app", options=(COLOUR,), option_libraries=((When(options={"colour": "blue"}), ("zlib",)),))
    assert plan(app, wish=Wish(names=("app",))).parts[0].packages == ()
    assert plan(app, wish=Wish(names=("app",), options={"colour": "blue"})).parts[0].packages == ("zlib1g-dev",)


def test_a_library_that_the_table_lacks_is_named() -> None:
    with pytest.raises(InvalidInput, match="needs library 'ghost'"):
        plan(recipe("app", libraries=("ghost",)), wish=Wish(names=("app",)))


def test_option_defaults_depend_on_the_machine_and_the_user_wins() -> None:
    app = recipe("app", options=(COLOUR,))
    mac = OperatingSystem(id="macos", version="14")
    assert plan(app, wish=Wish(names=("app",))).parts[0].options == {"colour": "red"}
    assert plan(app, wish=Wish(names=("app",)), os=mac).parts[0].options == {"colour": "blue"}
    chosen = Wish(names=("app",), options={"colour": "red"})
    assert plan(app, wish=chosen, os=mac).parts[0].options == {"colour": "red"}


@pytest.mark.parametrize(
    ("options", "message"), [({"size": "1"}, "no option 'size'"), ({"colour": "green"}, "cannot be 'green'")]
)
def test_unknown_options_and_values_are_usage_errors(options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        plan(recipe("app", options=(COLOUR,)), wish=Wish(names=("app",), options=options))
    assert "colour" in (caught.value.hint or "") or "red" in (caught.value.hint or "")


def test_patches_are_planned_with_their_reason_and_rendered() -> None:
    patches = (
        Patch(name="a.patch", why="w1", when=When(libraries={"protobuf": ">=3.18"})),
        Patch(name="b.patch", why="w2", when=When(os="macos")),
    )
    (part,) = plan(recipe("app", patches=patches, options=(COLOUR,)), wish=Wish(names=("app",))).parts
    assert [(p.name, p.needed, p.because) for p in part.patches] == [
        ("a.patch", True, "protobuf is 3.21.12"),
        ("b.patch", False, "this is debian 12"),
    ]
    (applied,) = [step for step in part.steps if isinstance(step, ApplyPatch)]
    assert applied.name == "a.patch"
    assert applied.text.endswith("+red\n")


def test_an_unsupported_machine_is_refused_with_the_recipes_reason() -> None:
    app = recipe("app", supports=lambda facts, options: f"not on {facts.os.id}")
    with pytest.raises(Refused, match="app cannot be installed here: not on debian"):
        plan(app, wish=Wish(names=("app",)))


def test_a_source_of_the_users_replaces_the_recipes_and_changes_the_digest() -> None:
    mine = LocalSource(id="local:x", path="/x.tgz", sha256="1" * 64)
    made = plan(recipe("app"), wish=Wish(names=("app",), sources={"app": mine}))
    assert made.parts[0].sources == (mine,)
    assert made.digest != plan(recipe("app"), wish=Wish(names=("app",))).digest


def test_a_part_survives_the_round_trip_through_json() -> None:
    patch = Patch(name="a.patch", why="w", when=When())
    (part,) = plan(recipe("app", patches=(patch,), options=(COLOUR,)), wish=Wish(names=("app",))).parts
    again = plans.part_from_json(msgspec.json.encode(part))
    assert again == part
    assert again.digest == part.digest


def test_steps_follow_the_recipe_order() -> None:
    (part,) = plan(recipe("app", libraries=("zlib",)), wish=Wish(names=("app",))).parts
    kinds: list[type[Step]] = [type(step) for step in part.steps]
    assert [kind.__name__ for kind in kinds] == ["SystemPackages", "Fetch", "Unpack", "Run"]


def test_a_version_that_would_break_its_key_is_refused() -> None:
    with pytest.raises(InvalidInput, match="hyphen"):
        plan(recipe("app", version="1.0-rc5"), wish=Wish(names=("app",)))
