"""Wanted recipes and facts to a plan. Pure: the same facts give the same plan, byte for byte."""

from __future__ import annotations

import graphlib
import itertools
from collections.abc import Callable, Mapping

import msgspec

from devsetup import amending
from devsetup.amendment import Amendment
from devsetup.errors import InvalidInput, Refused, UsageError
from devsetup.facts import Facts
from devsetup.plan import Identity, Part, Plan, PlannedPatch
from devsetup.recipe import Context, Recipe, SystemLibrary
from devsetup.steps import Source, Step, SystemPackages


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """All that planning needs besides facts.

    Attributes:
        recipe: name to recipe; raises UsageError for an unknown name.
        texts: a recipe's patches and workloads, by path relative to the catalogue's root.
        libraries: the package names of `hosts/libraries.toml`.
    """

    recipe: Callable[[str], Recipe]
    texts: Callable[[Recipe], dict[str, str]]
    libraries: Mapping[str, SystemLibrary]


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked for.

    Attributes:
        names: recipes, in the user's order.
        options: `--option` values; each must belong to one of the recipes planned.
        sources: recipe name to the source that replaces the recipe's own (`--source`).
        amendments: recipe name to the changes that remedies make to its plan.
    """

    names: tuple[str, ...]
    options: dict[str, str] = {}
    sources: dict[str, Source] = {}
    amendments: dict[str, tuple[Amendment, ...]] = {}


def make_plan(wish: Wish, facts: Facts, catalogue: Catalogue) -> Plan:
    """Resolve what is wanted for a machine.

    Raises:
        UsageError: an unknown recipe, option or option value.
        Refused: a recipe does not support this machine; the message is the recipe's own reason.
        InvalidInput: recipes need each other in a circle, or a patch is malformed.
    """
    wanted = _closure(wish, facts, catalogue)
    _check_options(wish.options, [resolved.recipe for resolved in wanted.values()])
    parts: dict[str, Part] = {}
    for name in _ordered(wanted):
        resolved = _equipped(wanted[name], wanted)
        parts[name] = _part(resolved, wish, catalogue, parts)
    asked = tuple(dict.fromkeys(parts[name].key for name in wish.names))
    return Plan(facts=facts, parts=tuple(parts.values()), wanted=asked)


class _Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe on a machine: `options` were chosen on the bare machine, `facts` are those it is built with."""

    recipe: Recipe
    options: dict[str, str]
    needs: tuple[str, ...]
    facts: Facts


def _closure(wish: Wish, facts: Facts, catalogue: Catalogue) -> dict[str, _Resolved]:
    found: dict[str, _Resolved] = {}
    waiting = list(wish.names)
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            recipe = catalogue.recipe(name)
            options = recipe.choices(facts, {**wish.options, **amending.options(wish.amendments.get(name, ()))})
            needs = recipe.needs_with(facts, options)
            found[name] = _Resolved(recipe=recipe, options=options, needs=needs, facts=facts)
            waiting += needs
    return found


def _ordered(wanted: Mapping[str, _Resolved]) -> tuple[str, ...]:
    graph = {name: resolved.needs for name, resolved in wanted.items()}
    try:
        return tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        raise InvalidInput(f"recipes need each other in a circle: {' -> '.join(error.args[1])}") from error


def _equipped(resolved: _Resolved, wanted: Mapping[str, _Resolved]) -> _Resolved:
    """A recipe with the facts of a machine on which what it needs is installed."""
    facts = resolved.facts
    for name in resolved.needs:
        need = _equipped(wanted[name], wanted)
        if need.recipe.provides:
            facts = need.recipe.provides(facts, need.options)
    return msgspec.structs.replace(resolved, facts=facts)


def _check_options(options: Mapping[str, str], recipes: list[Recipe]) -> None:
    known = {option.name: option for recipe in recipes for option in recipe.options}
    for name, value in options.items():
        if name not in known:
            offered = ", ".join(sorted(known)) or "none"
            raise UsageError(
                f"no option {name!r} here", f"options of {', '.join(recipe.name for recipe in recipes)}: {offered}"
            )
        if value not in known[name].choices:
            raise UsageError(f"option {name} cannot be {value!r}", f"choose one of: {', '.join(known[name].choices)}")


def _part(resolved: _Resolved, wish: Wish, catalogue: Catalogue, parts: Mapping[str, Part]) -> Part:
    recipe, options, facts = resolved.recipe, resolved.options, resolved.facts
    if "-" in recipe.version:  # keys are name-version-digest, and are taken apart again
        raise InvalidInput(
            f"recipe {recipe.name}: version {recipe.version!r} has a hyphen; write it with a dot or plus"
        )
    reason = recipe.supports(facts, options) if recipe.supports else None
    if reason:
        raise Refused(f"{recipe.name} cannot be installed here: {reason}")
    amendments = wish.amendments.get(recipe.name, ())
    chosen = wish.sources.get(recipe.name)
    context = Context(
        recipe=recipe,
        facts=facts,
        options=options,
        sources=(chosen,) if chosen else recipe.sources_with(facts, options),
        texts=catalogue.texts(recipe),
        forced=amending.patches(amendments, recipe),
    )
    wanted = (*_wanted_libraries(recipe, options, facts), *amending.libraries(amendments))
    packages = _packages(recipe, wanted, facts, catalogue.libraries)
    first: tuple[Step, ...] = (packages,) if packages else ()
    part = Part(
        name=recipe.name,
        version=recipe.version,
        summary=recipe.summary,
        identity=Identity(os=facts.os.id, version=facts.os.version, arch=facts.arch, libc=facts.libc),
        options=options,
        needs=tuple(parts[need].key for need in resolved.needs),
        sources=context.sources,
        patches=tuple(_planned_patches(context)),
        steps=amending.amended((*first, *recipe.steps(context)), amendments, macos=facts.os.id == "macos"),
        proofs=recipe.proofs_with(facts, options),
        memory_per_job_mb=recipe.memory_per_job_mb,
        disk_mb=recipe.disk_mb,
        amendments=amendments,
    )
    return part if not amendments else _in_place_of(part, resolved, wish, catalogue, parts)


def _in_place_of(part: Part, resolved: _Resolved, wish: Wish, catalogue: Catalogue, parts: Mapping[str, Part]) -> Part:
    """An amended part at the place of the part that it mends."""
    others = {name: each for name, each in wish.amendments.items() if name != part.name}
    recipe = resolved.recipe
    bare = msgspec.structs.replace(resolved, options=recipe.choices(resolved.facts, wish.options))
    plain = _part(bare, msgspec.structs.replace(wish, amendments=others), catalogue, parts)
    return msgspec.structs.replace(part, place=plain.key)


def _wanted_libraries(recipe: Recipe, options: Mapping[str, str], facts: Facts) -> tuple[str, ...]:
    some = (names for when, names in recipe.option_libraries if when.verdict(facts, options).holds)
    return (*recipe.libraries, *itertools.chain.from_iterable(some))


def _packages(
    recipe: Recipe, wanted: tuple[str, ...], facts: Facts, libraries: Mapping[str, SystemLibrary]
) -> SystemPackages | None:
    packages: list[str] = []
    for name in wanted:
        if name not in libraries:
            raise InvalidInput(f"recipe {recipe.name} needs library {name!r}, which hosts/libraries.toml does not list")
        packages += libraries[name].names(facts.package_manager)
    unique = tuple(sorted(dict.fromkeys(packages)))
    return SystemPackages(manager=facts.package_manager, names=unique) if unique else None


def _planned_patches(context: Context) -> list[PlannedPatch]:
    planned = []
    for patch in context.recipe.patches:
        verdict = context.verdict(patch)
        planned.append(
            PlannedPatch(
                name=patch.name,
                why=patch.why,
                when=str(patch.when),
                needed=verdict.holds,
                because=verdict.because,
                upstream=patch.upstream,
            )
        )
    return planned
