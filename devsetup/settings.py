"""The user's settings: `config.toml` in devsetup's XDG configuration directory. Every one has a default.

cuda = "/opt/cuda-12.4"      # the toolkit to use, before every other place

[doctor]
ignore = ["os.locale"]       # checks to leave out
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from devsetup.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Doctor(_Table, frozen=True, kw_only=True):
    """Settings of `devsetup doctor`: names of checks to leave out."""

    ignore: tuple[str, ...] = ()


class Settings(_Table, frozen=True, kw_only=True):
    """All settings.

    Attributes:
        cuda: root of the CUDA toolkit to use; empty looks for one.
    """

    cuda: str = ""
    doctor: Doctor = Doctor()


def settings_path(environ: Mapping[str, str]) -> Path:
    """Where the settings are: `$XDG_CONFIG_HOME/devsetup/config.toml`, below `~/.config` when that is not set."""
    base = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME') or Path.home()}/.config"
    return Path(base, "devsetup", "config.toml")


def read_settings(path: Path) -> Settings:
    """Read the settings; a missing file has every default.

    Raises:
        InvalidInput: it is no TOML, or has an unknown or wrongly typed entry; the message names it.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}", "check its owner and permissions") from error
    try:
        return msgspec.toml.decode(text, type=Settings)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise InvalidInput(
            f"{path} is not a valid configuration: {error}", "correct it, or move it away to use the defaults"
        ) from error
