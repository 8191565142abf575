"""Which driver a CUDA toolkit needs, on Linux on x86-64.

From the release notes of each toolkit and NVIDIA's page on minor version compatibility; from 11.7 on, the driver that
the toolkit's own installer brings, as its file name says.
"""

from __future__ import annotations

# (toolkit, driver): before 11 the least driver, from 11 on the one that it was made for.
OWN_DRIVERS = (
    *(("7.0", "346.46"), ("7.5", "352.31"), ("8.0", "367.48"), ("9.0", "384.81"), ("9.1", "390.46")),
    *(("9.2", "396.26"), ("10.0", "410.48"), ("10.1", "418.39"), ("10.2", "440.33"), ("11.0", "450.36.06")),
    *(("11.1", "455.23"), ("11.2", "460.27.03"), ("11.3", "465.19.01"), ("11.4", "470.42.01"), ("11.5", "495.29.05")),
    *(
        ("11.6", "510.39.01"),
        ("11.7", "515.43.04"),
        ("11.8", "520.61.05"),
        ("12.0", "525.60.13"),
        ("12.1", "530.30.02"),
    ),
    *(
        ("12.2", "535.54.03"),
        ("12.3", "545.23.06"),
        ("12.4", "550.54.14"),
        ("12.5", "555.42.02"),
        ("12.6", "560.28.03"),
    ),
    *(
        ("12.8", "570.86.10"),
        ("12.9", "575.51.03"),
        ("13.0", "580.65.06"),
        ("13.1", "590.44.01"),
        ("13.2", "595.45.04"),
    ),
    *(("13.3", "610.43.02"),),
)
# From 11 on, every toolkit of one major version runs with this driver, some features apart.
FLOORS = (("11", "450"), ("12", "525"), ("13", "580"))


def least_driver(toolkit: str) -> str:
    """The oldest driver with which programs of a toolkit start; empty when it is not known."""
    return dict(FLOORS).get(toolkit.partition(".")[0]) or own_driver(toolkit)


def own_driver(toolkit: str) -> str:
    """The driver that a toolkit was made for; empty when it is not known."""
    return dict(OWN_DRIVERS).get(".".join(toolkit.split(".")[:2]), "")
