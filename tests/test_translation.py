"""German and French logs: what gcc, ld, make, bash, apt, git and others printed on Debian 12, in both encodings.

The same failing commands were run in three languages (`tests/logs/{en,de,fr}`), so their diagnoses must agree.
"""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from devsetup.diagnosis import Diagnosis, Log, Matcher, diagnose, read
from devsetup.diagnosis.reading import clean
from devsetup.diagnosis.translation import to_english
from devsetup.diagnosis.verdict import Machine
from devsetup.loader import Loader, default_root

LOGS = Path(__file__).parent / "logs"
LOADER = Loader(default_root({}))
FOREIGN = ("de/messages.log", "de/messages-latin1.log", "fr/messages.log", "fr/messages-latin1.log")


@functools.cache
def diagnosed(name: str) -> Diagnosis:
    machine = Machine(LOADER.host("debian-12"), LOADER.libraries())
    return diagnose(((LOGS / name).read_bytes(),), Matcher(LOADER.symptoms()), machine)


@functools.cache
def lines(name: str) -> frozenset[str]:
    return frozenset(window.text for window in read(((LOGS / name).read_bytes(),), Log()))


@pytest.mark.parametrize("name", FOREIGN)
def test_the_causes_are_those_of_the_english_log(name: str) -> None:
    english = [cause.id for cause in diagnosed("en/messages.log").causes]
    assert len(english) > 15
    assert [cause.id for cause in diagnosed(name).causes] == english


@pytest.mark.parametrize("name", FOREIGN)
def test_what_follows_from_an_error_is_no_error_of_its_own(name: str) -> None:
    assert len(diagnosed(name).unexplained) == len(diagnosed("en/messages.log").unexplained)


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize(
    "text",
    [
        "header.c:1:10: fatal error: nowhere.h: No such file or directory",
        "/usr/bin/ld: cannot find -lnowhere: No such file or directory",
        "collect2: error: ld returned 1 exit status",
        "syn.c:1:25: error: 'z' undeclared (first use in this function)",
        "cxx.cpp:2:37: error: 'CV_X' was not declared in this scope",
        "cxx.cpp:2:50: error: 'unknown' has not been declared",
        "cxx2.cpp:1:57: error: no matching function for call to 'f(int, double)'",
        "cxx2.cpp:1:74: error: 'struct A' has no member named 'x'",
        "make: nonesuchcc: No such file or directory",
        "make: *** [Makefile.nocc:2: all] Error 127",
        "make: /etc/passwd: Permission denied",
        "make: *** No rule to make target 'nothing'.",
        "bash: line 1: nonesuch: command not found",
        "cp: error writing '/dev/full': No space left on device",
        "cp: cannot stat 'nofile': No such file or directory",
        "mkdir: cannot create directory '/proc/x': No such file or directory",
        "gcc: error: unrecognized command-line option '--nonesuch'",
        "g++: internal compiler error: Segmentation fault signal terminated program cc1plus",
        "fatal: unable to access 'https://nonesuch.invalid/x/': Could not resolve host: nonesuch.invalid",
        "wget: unable to resolve host address 'nonesuch.invalid'",
    ],
)
def test_a_message_in_english(name: str, text: str) -> None:
    assert text in lines(name)


@pytest.mark.parametrize("name", FOREIGN)
def test_make_names_the_target(name: str) -> None:
    assert any("No rule to make target 'missing.o'" in line for line in lines(name))


@pytest.mark.parametrize("name", ["fr/messages.log", "fr/messages-latin1.log"])
def test_the_linker_speaks_french(name: str) -> None:
    assert "undef.c:(.text+0x5): undefined reference to 'f'" in lines(name)
    assert any("multiple definition of 'x'" in line and "first defined here" in line for line in lines(name))
    assert any(line.endswith("recompile with -fPIC") for line in lines(name))


# Messages of glibc's, apt's and R's catalogues that need a particular machine to be printed.
@pytest.mark.parametrize(
    ("foreign", "english"),
    [
        (
            "./x: Fehler beim Laden der Shared Libraries: libl.so.7: y",
            "./x: error while loading shared libraries: libl.so.7: y",
        ),
        (
            "libl.so.7: Kann die Shared-Object-Datei nicht öffnen: Datei oder Verzeichnis nicht gefunden",
            "libl.so.7: cannot open shared object file: No such file or directory",
        ),
        (
            "./x: erreur lors du chargement des librairies partagées\u00a0: libl.so.7\u00a0: y",
            "./x: error while loading shared libraries: libl.so.7: y",
        ),
        (
            "libl.so.7\u00a0: Ne peut ouvrir le fichier d'objet partagé\u00a0: Aucun fichier ou dossier de ce type",
            "libl.so.7: cannot open shared object file: No such file or directory",
        ),
        ("./x: Fehler beim Nachschlagen des Symbols: g", "./x: symbol lookup error: g"),
        ("libq.so: falsche ELF-Klasse: ELFCLASS32. Fehler", "libq.so: wrong ELF class: ELFCLASS32. Fehler"),
        (
            "g++: schwerwiegender Fehler: Signal Getötet hat Programm cc1plus beendet",
            "g++: fatal error: Killed signal terminated program cc1plus",
        ),
        (
            "g++: erreur fatale: le signal Processus arrêté a terminé le programme cc1plus",
            "g++: fatal error: Killed signal terminated program cc1plus",
        ),
        (
            "E: Sperre /var/lib/dpkg/lock-frontend konnte nicht erlangt werden. Sie wird von Prozess 42 gehalten.",
            "E: Could not get lock /var/lib/dpkg/lock-frontend. Sie wird von Prozess 42 gehalten.",
        ),
        ("E: Impossible d'obtenir le verrou /var/lib/dpkg/lock", "E: Could not get lock /var/lib/dpkg/lock"),
        (
            "Paket libx-dev ist nicht verfügbar, wird aber von einem anderen Paket",
            "Package libx-dev is not available, but is referred to by another package.",
        ),
        (
            "Aucune version du paquet libx-dev n'est disponible, mais il existe dans la base",
            "Package libx-dev is not available, but is referred to by another package.",
        ),
        ("   Hash-Summe stimmt nicht überein", "   Hash Sum mismatch"),
        (
            "E: Impossible de récupérer http://x  Somme de contrôle de hachage incohérente",
            "E: Failed to fetch http://x  Hash Sum mismatch",
        ),
        (
            "Fehler in library(nope) : es gibt kein Paket namens 'nope'",
            "Error in library(nope): there is no package called 'nope'",
        ),
        (
            "Erreur dans library(nope) : aucun package nommé 'nope' n'est trouvé",
            "Error in library(nope): there is no package called 'nope'",
        ),
    ],
)
def test_messages_of_the_catalogues(foreign: str, english: str) -> None:
    assert to_english(foreign) == english


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_both_encodings_are_read(encoding: str) -> None:
    raw = "ld: final link failed: Auf dem Gerät ist kein Speicherplatz mehr verfügbar".encode(encoding)
    assert clean(raw) == "ld: final link failed: No space left on device"


@pytest.mark.parametrize(
    "text",
    [
        "a.c:1: error: 'x' undeclared",
        "echo « ça va » : oui",
        "checking for Eigen : no »x«",
        "-- Found Kehlmann: /usr/lib",
        "",
    ],
)
def test_other_lines_stay_as_they_are(text: str) -> None:
    assert to_english(text) == text


def test_a_latin_1_log_in_small_blocks_is_read_alike() -> None:
    data = (LOGS / "fr/messages-latin1.log").read_bytes()
    blocks = (data[at : at + 7] for at in range(0, len(data), 7))
    assert frozenset(window.text for window in read(blocks, Log())) == lines("fr/messages-latin1.log")
