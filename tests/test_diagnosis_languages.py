"""German and French messages, as the programs of Debian 12 printed them, and the symptom that they show."""

from __future__ import annotations

import pytest

from devsetup.diagnosis import Matcher, diagnose
from devsetup.diagnosis.verdict import Machine
from devsetup.loader import Loader, default_root

LOADER = Loader(default_root({}))


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return Matcher(LOADER.symptoms())


@pytest.mark.parametrize(
    ("printed", "symptom"),
    [
        (
            (
                "a.cpp:2:6: Fehler: »string_view« in Namensbereich »std« bezeichnet keinen Typ\n"
                '    2 | std::string_view f(){return "";}\n      |      ^~~~~~~~~~~\n'
                "a.cpp:2:1: Anmerkung: »std::string_view« ist erst ab C++17 verfügbar\n"
            ),
            "cxx-standard-too-old",
        ),
        (
            (
                "a.cpp:2:6: erreur: « string_view » dans l'espace de noms « std » ne nomme pas un type\n"
                '    2 | std::string_view f(){return "";}\n      |      ^~~~~~~~~~~\n'
                "a.cpp:2:1: note: « std::string_view » est uniquement disponible à partir de C++17\n"
            ),
            "cxx-standard-too-old",
        ),
        (
            "a.cpp:1:9: Fehler: ISO C++17 erlaubt keine dynamischen Ausnahmespezifikationen\n",
            "cxx-standard-too-new",
        ),
        (
            "a.cpp:1:9: erreur: le C++17 ISO n'autorise pas la spécification dynamique des exceptions\n",
            "cxx-standard-too-new",
        ),
        ("Fehler: Es konnte kein Treffer gefunden werden: libglog-dev\n", "package-unknown"),
        ("cc1: Fehler: falscher Wert »zz« für Schalter »-march=«\n", "unknown-option"),
        ("cc1: erreur: valeur « zz » erronée pour l'option « -march= »\n", "unknown-option"),
        ("Schwerwiegend: Repository './nosuch' existiert nicht\n", "git-repository-missing"),
        ("fatal : le dépôt './nosuch' n'existe pas\n", "git-repository-missing"),
        (
            "Schwerwiegend: Remote-Branch v9 nicht im Upstream-Repository origin gefunden\n",
            "git-reference-missing",
        ),
        (
            "fatal : La branche distante v9 n'a pas été trouvée dans le dépôt amont origin\n",
            "git-reference-missing",
        ),
        (
            "Fehler: Pfadspezifikation 'nosuch' stimmt mit keinen Git bekannten Dateien überein\n",
            "git-reference-missing",
        ),
        (
            "erreur : le spécificateur de chemin 'nosuch' ne correspond à aucun fichier connu de git\n",
            "git-reference-missing",
        ),
        ("sha256sum: WARNUNG: 1 berechnete Prüfsumme passte NICHT\n", "checksum-mismatch"),
        ("sha256sum: Attention : 1 somme de contrôle ne correspond pas\n", "checksum-mismatch"),
        ("tar: no.tar: Funktion open fehlgeschlagen: Datei oder Verzeichnis nicht gefunden\n", "file-missing"),
        ("tar: no.tar : open impossible: Aucun fichier ou dossier de ce type\n", "file-missing"),
        ("make: *** Es wurden keine Ziele angegeben und keine „make“-Steuerdatei gefunden.  Schluss.\n", "no-makefile"),
        ("Makefile:2: *** Fehlender Trenner.  Schluss.\n", "makefile-separator"),
        ("Makefile:2: *** séparateur manquant. Arrêt.\n", "makefile-separator"),
        (
            "Verbindungsaufbau zu 127.0.0.1:9 … fehlgeschlagen: Verbindungsaufbau abgelehnt.\n",
            "connection-failed",
        ),
        ("Connexion à 127.0.0.1:9… échec : Connexion refusée.\n", "connection-failed"),
        (
            "bash: ligne 1: ./sh1 : ne peut exécuter : le fichier requis n'a pas été trouvé\n",
            "bad-interpreter",
        ),
    ],
)
def test_a_message_in_german_or_french_shows_its_symptom(matcher: Matcher, printed: str, symptom: str) -> None:
    found = diagnose((printed.encode(),), matcher, Machine(LOADER.host("debian-12"), LOADER.libraries()))
    assert [cause.id for cause in found.causes][:1] == [symptom]
