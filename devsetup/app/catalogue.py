"""Questions about the catalogue that need recipes and declared hosts together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devsetup.loader import Loader
    from devsetup.recipe import Recipe


def patch_hosts(loader: Loader, recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """On which declared hosts each patch is needed, with every option at its default there.

    A patch for one generation of upstream's tree counts where that generation would need it.

    Returns:
        Patch name to host names, in the loader's order.
    """
    generations = tuple(generation.id for generation in recipe.generations) or ("",)
    needed: dict[str, list[str]] = {patch.name: [] for patch in recipe.patches}
    for host in loader.hosts():
        facts = loader.host(host)
        options = recipe.choices(facts)
        for patch in recipe.patches:
            if any(patch.when.verdict(facts, options, generation).holds for generation in generations):
                needed[patch.name].append(host)
    return {name: tuple(hosts) for name, hosts in needed.items()}
