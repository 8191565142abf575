"""Use cases of `devsetup recipe`: start a recipe, check its file, plan and patch for every declared host."""

from devsetup.app.authoring.lint import Finding, lint
from devsetup.app.authoring.ontrees import TreeOutcome, trial_on_trees
from devsetup.app.authoring.scaffold import new
from devsetup.app.authoring.trial import Outcome, trial

__all__ = ["Finding", "Outcome", "TreeOutcome", "lint", "new", "trial", "trial_on_trees"]
