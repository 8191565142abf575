from __future__ import annotations

import pytest

from devsetup.errors import InvalidInput
from devsetup.facts import Apple, Compiler, Facts, Libc, Library, OperatingSystem
from devsetup.when import When, satisfies


def machine(**changes: object) -> Facts:
    values: dict[str, object] = {
        "os": OperatingSystem(id="debian", version="12", like=()),
        "arch": "x86_64",
        "package_manager": "apt",
        "libraries": {"protobuf": Library(version="3.21.12")},
        "compilers": (Compiler(name="g++", family="gcc", version="12.2.0", path="/usr/bin/g++"),),
    }
    return Facts(**{**values, **changes})  # type: ignore[arg-type]


def mac(version: str, clt: str = "") -> Facts:
    return machine(os=OperatingSystem(id="macos", version=version), package_manager="brew", apple=Apple(clt=clt))


@pytest.mark.parametrize(
    ("version", "specifier", "holds"),
    [
        ("3.21.12", ">=3.18", True),
        ("3.21.12", ">=3.18, <3.20", False),
        ("1:4.6.0+dfsg-12", ">=4", True),
        ("3.9", ">=3.18", False),  # 9 is less than 18, though "9" sorts after "1"
        ("10.10.5", ">=10.10", True),
        ("26.1", ">=10.10", True),
        ("10.9.5", ">=10.10", False),
        ("1.0", "==1", True),
        ("1.0", "!=1", False),
        ("2", ">2", False),
        ("2", "<=2", True),
        ("unknown", "", True),
        ("unknown", ">=1", False),
    ],
)
def test_satisfies_compares_numbers_not_text(version: str, specifier: str, holds: bool) -> None:
    assert satisfies(version, specifier) is holds


def test_a_malformed_specifier_is_an_error_not_a_no() -> None:
    with pytest.raises(InvalidInput, match="malformed version condition"):
        satisfies("1.0", "~=1.0")


@pytest.mark.parametrize(
    ("when", "facts", "holds"),
    [
        (When(), machine(), True),
        (When(os="macos >=10.10"), machine(), False),
        (When(os="macos >=10.10"), mac("10.9.5"), False),
        (When(os="macos >=10.10"), mac("10.10"), True),
        (When(os="macos >=10.10"), mac("26.1"), True),
        (When(os="debian >=12 | ubuntu"), machine(), True),
        (When(os="debian >=13 | ubuntu"), machine(), False),
        (When(os="debian"), machine(os=OperatingSystem(id="devuan", version="5", like=("debian",))), True),
        # a derivative's own version says nothing about the version of what it derives from
        (When(os="debian >=12"), machine(os=OperatingSystem(id="ubuntu", version="24.04", like=("debian",))), False),
        (When(os="linux"), machine(), True),
        (When(os="linux"), mac("14"), False),
        (When(arch="x86_64 | aarch64"), machine(), True),
        (When(arch="arm64"), machine(), False),
        (When(package_manager="brew"), machine(), False),
        (When(libc="glibc >=2.23"), machine(libc=Libc(family="glibc", version="2.36")), True),
        (When(libc="glibc >=2.23"), machine(libc=Libc(family="glibc", version="2.19")), False),
        (When(libc="glibc >=2.23"), machine(libc=Libc(family="musl", version="2.36")), False),
        (When(libc="musl"), machine(libc=Libc(family="musl", version="1.2.5")), True),
        (When(libc="glibc"), machine(), False),
        (When(libraries={"protobuf": ">=3.18"}), machine(), True),
        (When(libraries={"opencv": ">=4"}), machine(), False),
        (When(compilers={"g++": ">=14"}), machine(), False),
        (When(clt=">=10"), mac("14", clt="15.3"), True),
        (When(clt=">=10"), mac("10.10", clt="6.2"), False),
        (When(clt=">=10"), machine(), False),
    ],
)
def test_conditions(when: When, facts: Facts, holds: bool) -> None:
    assert when.verdict(facts).holds is holds


def test_options_decide_too() -> None:
    when = When(options={"cuda": "on"})
    assert when.verdict(machine(), {"cuda": "on"}).holds
    assert not when.verdict(machine(), {"cuda": "off"}).holds
    assert not when.verdict(machine()).holds


def test_the_reason_names_the_fact_that_decided() -> None:
    assert When(libraries={"protobuf": ">=3.18"}).verdict(machine()).because == "protobuf is 3.21.12"
    assert When(libraries={"opencv": ">=4"}).verdict(machine()).because == "opencv is unknown"
    both = When(os="macos", clt=">=10").verdict(machine())
    assert both.because == "this is debian 12"
    assert When().verdict(machine()).because == "always"
    assert When(libc="musl").verdict(machine()).because == "the C library is unknown"


def test_a_condition_prints_as_the_patch_table_shows_it() -> None:
    assert str(When(os="macos >=10.10", clt=">=10")) == "macos >=10.10, CLT >=10"
    assert str(When(libraries={"protobuf": ">=3.18"}, options={"cuda": "on"})) == "protobuf >=3.18, cuda=on"
    assert str(When(libc="glibc >=2.23", cuda="<8")) == "glibc >=2.23, CUDA <8"
    assert str(When()) == "always"
