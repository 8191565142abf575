"""Recipes for software that does not build out of the box."""

__version__ = "0.1.0"
