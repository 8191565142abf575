"""The way in. `--version` is answered before anything is imported: start-up time is a feature."""

import sys


def main() -> int:
    """Run the command line; returns the exit status."""
    if sys.argv[1:] == ["--version"]:
        from devsetup import __version__

        print(f"devsetup {__version__}")
        return 0
    from devsetup.cli import main as run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
