"""Messages of compilers, make, linkers, loaders, the C library, shells and apt in German and French, to English.

The words are those of the programs' own catalogues (gcc 12, binutils 2.40, make 4.3, glibc 2.36, bash 5.2, coreutils
9.1, apt 2.6, git 2.39, wget 1.21 and R 4.2 as Debian 12 has them); the tests compare with what those programs printed.
"""

from __future__ import annotations

import re

# What a line must have to be taken for German or French: ASCII, so that they are found in UTF-8 and Latin-1 alike, and
# rare in English. `ehl` is in Fehler, fehlgeschlagen and Fehlender, `icht` in nicht and Nicht.
TRIGGERS = (
    *("ehl", "icht", "Keine ", "keine ", "keinen ", "NICHT", "Speicherplatz", "falscher Wert", "erst ab"),
    *("rreur", "ucun", "mpossible d", "introuvable", "e peut", "finie vers", "finitions multiples", "Permission non"),
    *("manquant", "erron", "existe pas", "autorise pas", "a pas ", "ne correspond", "onnexion refus"),
    *("open impossible", "uniquement disponible", "ne ressemble", "dans l'archive", "Unerwartetes"),
    *("ein Treffer", "bereits aktuell", " jour.", "bereits verwendet", "zu lang", "zu gro", "zur Zeit", "nur lesbar"),
    *("Zu viele ", "(Quota)", "abgelehnt", "Wartezeit", "ckgesetzt", "Dateizugriff", "Link ", "Operation ist"),
    *(
        "Trop de ",
        "trop lon",
        "trop gros",
        "quota d'esp",
        "emporairement",
        "lecture seule",
        "texte occup",
        "Panne d'acc",
    ),
    *("inter-p", "lai d'attente", "pas accessible", "-initialis", "dresse d", "ration non permise", "Moduldatei"),
)

# French puts a space in front of a colon and inside its quotes.
_TYPOGRAPHY = (("\u00a0", " "), ("\u202f", " "), ("\u2019", "'"), (" : ", ": "), ("„", "'"), ("“", "'"))
_GERMAN_QUOTES = re.compile("»([^«»]{0,300})«")
_FRENCH_QUOTES = re.compile("« ?([^«»]{0,300}?) ?»")

# A word that the sentence has, its pattern, and the English one.
_SENTENCES = tuple(
    (needle, re.compile(pattern), english)
    for needle, pattern, english in (
        ("Bauabh", r"Fehler: Nicht erfüllte Bauabhängigkeiten:", r"error: unmet build dependencies:"),
        ("construction", r"erreur: dépendances de construction non trouvées ?:", r"error: unmet build dependencies:"),
        ("falscher Wert", r"falscher Wert ('[^']{1,100}') für Schalter", r"bad value \1 for"),
        ("existiert nicht", r"Repository ('[^']{1,200}') existiert nicht", r"repository \1 does not exist"),
        (
            "Remote-Branch",
            r"Remote-Branch (\S{1,100}) nicht im Upstream-Repository \S{1,100} gefunden",
            r"Remote branch \1 not found in upstream",
        ),
        (
            "Pfadspezifikation",
            r"Pfadspezifikation ('[^']{1,100}') stimmt mit keinen Git bekannten Dateien überein",
            r"pathspec \1 did not match any file(s) known to git",
        ),
        (
            "NICHT",
            r"WARNUNG: (\d+) berechnete Prüfsummen? passten? NICHT",
            r"WARNING: \1 computed checksum did NOT match",
        ),
        (
            "Namens",
            r"in Namens(?:raum|bereich) ('[^']{1,60}') bezeichnet keinen Typ",
            r"in namespace \1 does not name a type",
        ),
        (
            "Namens",
            r"in Namens(?:raum|bereich) ('[^']{1,60}') bezeichnet keinen Templatetyp",
            r"in namespace \1 does not name a template type",
        ),
        ("erst ab", r"Anmerkung: ([^\n]{1,200}) ist erst ab (C\+\+\d\d)", r"note: \1 is only available from \2"),
        ("hat Programm", r"Signal ([^»']{1,60}) hat Programm (\S+) beendet", r"\1 signal terminated program \2"),
        (
            "Moduldatei",
            r"Moduldatei ('[^']{1,200}') kann bei (\S{1,20}) nicht zum Lesen geöffnet werden",
            r"Cannot open module file \1 for reading at \2",
        ),
        (
            "fichier module",
            r"Ne peut ouvrir le fichier module ('[^']{1,200}') en lecture à",
            r"Cannot open module file \1 for reading at",
        ),
        ("Keine Regel", r"Keine Regel vorhanden, um das Ziel ('[^']{1,300}'),", r"No rule to make target \1"),
        ("Keine Regel", r"Keine Regel, um ('[^']{1,300}') zu erstellen", r"No rule to make target \1"),
        ("] Fehler", r"\] Fehler (\d+)", r"] Error \1"),
        ("angelegt", r"das Verzeichnis ('[^']{1,300}') kann nicht angelegt werden", r"cannot create directory \1"),
        ("angelegt", r"reguläre Datei ('[^']{1,300}') kann nicht angelegt werden", r"cannot create regular file \1"),
        ("Aufruf von stat", r"der Aufruf von stat für ('[^']{1,300}') ist nicht möglich", r"cannot stat \1"),
        ("E: Paket", r"E: Paket (\S+) kann nicht gefunden werden\.", r"E: Unable to locate package \1"),
        (
            "ist nicht verf",
            r"^Paket (\S+) ist nicht verfügbar, wird aber von einem anderen Paket",
            r"Package \1 is not available, but is referred to by another package.",
        ),
        ("r Argument", r"Kein Treffer für Argument:? (\S+)", r"No match for argument: \1"),
        ("nnte kein Treffer", r"Es konnte kein Treffer gefunden werden: (.+)", r"Unable to find a match: \1"),
        ("est à jour", r"'([^']{1,200})' est à jour\.", r"'\1' is up to date."),
        ("bereits aktuell", r"'([^']{1,200})' ist bereits aktuell\.", r"'\1' is up to date."),
        ("Sperre", r"Sperre (\S+) konnte nicht erlangt werden", r"Could not get lock \1"),
        ("zugreifen", r"konnte nicht auf ('[^']{1,300}') zugreifen", r"unable to access \1"),
        (
            "Host-Adresse",
            r"Host-Adresse ('[^']{1,300}') kann nicht aufgel.st werden",
            r"unable to resolve host address \1",
        ),
        ("konnte nicht aufgel", r"('[^']{1,300}') konnte nicht aufgel.st werden", r"Could not resolve \1"),
        ("kann nicht ausgef", r"('[^']{1,300}') kann nicht ausgeführt werden", r"cannot execute \1"),
        ("Zeile", r"\bZeile (\d+): ", r"line \1: "),
        ("espace de noms", r"dans l'espace de noms ('[^']{1,60}') ne nomme pas un", r"in namespace \1 does not name a"),
        ("uniquement", r"est uniquement disponible à partir de (C\+\+\d\d)", r"is only available from \1"),
        ("erron", r"valeur ('[^']{1,100}') erronée pour l'option", r"bad value \1 for"),
        ("existe pas", r"le dépôt ('[^']{1,200}') n'existe pas", r"repository \1 does not exist"),
        (
            "branche distante",
            r"La branche distante (\S{1,100}) n'a pas été trouvée dans le dépôt amont",
            r"Remote branch \1 not found in upstream",
        ),
        (
            "ne correspond",
            r"le spécificateur de chemin ('[^']{1,100}') ne correspond à aucun fichier connu de git",
            r"pathspec \1 did not match any file(s) known to git",
        ),
        (
            "ne correspond",
            r"Attention: (\d+) sommes? de contrôle ne correspond(?:ent)? pas",
            r"WARNING: \1 computed checksum did NOT match",
        ),
        ("a termin", r"le signal ([^']{1,60}) a terminé le programme (\S+)", r"\1 signal terminated program \2"),
        ("Aucun fichier", r"Aucun fichier ou (?:dossier|répertoire) de ce (?:type|nom)", "No such file or directory"),
        (
            "Aucune r",
            r"\s+Aucune règle pour fabriquer la cible ('[^']{1,300}'), nécessaire pour ('[^']{1,300}')",
            r" No rule to make target \1, needed by \2",
        ),
        ("Aucune r", r"Aucune règle pour fabriquer la cible ('[^']{1,300}')", r"No rule to make target \1"),
        (
            "Aucune version",
            r"Aucune version du paquet (\S+) n'est disponible, mais il existe dans la base",
            r"Package \1 is not available, but is referred to by another package.",
        ),
        ("] Erreur", r"\] Erreur (\d+)", r"] Error \1"),
        (
            "non reconnue",
            r"option ('[^']{1,300}') non reconnue sur la ligne de commande",
            r"unrecognized command-line option \1",
        ),
        ("vouliez-vous", r"; vouliez-vous (?:utiliser|employer) ('[^']{1,300}') \?", r"; did you mean \1?"),
        ("ligne", r"\bligne (\d+): ", r"line \1: "),
        ("aucun package", r"aucun package nommé ('[^']{1,60}') n'est trouvé", r"there is no package called \1"),
    )
)

# Why a call failed, as strerror says it in English, German and French.
_CALLS = (
    ("No such file or directory", "Datei oder Verzeichnis nicht gefunden", "Aucun fichier ou dossier de ce type"),
    ("Permission denied", "Keine Berechtigung", "Permission non accordée"),
    (
        "No space left on device",
        "Auf dem Gerät ist kein Speicherplatz mehr verfügbar",
        "Aucun espace disponible sur le périphérique",
    ),
    (
        "Disk quota exceeded",
        "Der zugewiesene Plattenplatz (Quota) ist überschritten",
        "Débordement du quota d'espace disque",
    ),
    ("Too many open files", "Zu viele offene Dateien", "Trop de fichiers ouverts"),
    ("Too many open files in system", "Zu viele offene Dateien im System", "Trop de fichiers ouverts dans le système"),
    (
        "Resource temporarily unavailable",
        "Die Ressource ist zur Zeit nicht verfügbar",
        "Ressource temporairement non disponible",
    ),
    ("Cannot allocate memory", "Nicht genügend Hauptspeicher verfügbar", "Ne peut allouer de la mémoire"),
    ("Read-only file system", "Das Dateisystem ist nur lesbar", "Système de fichiers accessible en lecture seulement"),
    ("Text file busy", "Das Programm kann nicht ausgeführt oder verändert werden (busy)", "Fichier texte occupé"),
    ("File name too long", "Der Dateiname ist zu lang", "Nom de fichier trop long"),
    ("Argument list too long", "Die Argumentliste ist zu lang", "Liste d'arguments trop longue"),
    (
        "Too many levels of symbolic links",
        "Zu viele Ebenen aus symbolischen Links",
        "Trop de niveaux de liens symboliques",
    ),
    ("Stale file handle", "Veraltete Dateizugriffsnummer (file handle)", "Panne d'accès au fichier"),
    ("Input/output error", "Eingabe-/Ausgabefehler", "Erreur d'entrée/sortie"),
    (
        "Invalid cross-device link",
        "Ungültiger Link über Gerätegrenzen hinweg",
        "Lien physique inter-périphérique invalide",
    ),
    ("File too large", "Die Datei ist zu groß", "Fichier trop gros"),
    ("Connection refused", "Verbindungsaufbau abgelehnt", "Connexion refusée"),
    (
        "Connection timed out",
        "Die Wartezeit für die Verbindung ist abgelaufen",
        "Connexion terminée par expiration du délai d'attente",
    ),
    ("Network is unreachable", "Das Netzwerk ist nicht erreichbar", "Le réseau n'est pas accessible"),
    ("No route to host", "Keine Route zum Zielrechner", "Aucun chemin d'accès pour atteindre l'hôte cible"),
    (
        "Connection reset by peer",
        "Die Verbindung wurde vom Kommunikationspartner zurückgesetzt",
        "Connexion ré-initialisée par le correspondant",
    ),
    ("Address already in use", "Die Adresse wird bereits verwendet", "Adresse déjà utilisée"),
    ("Operation not permitted", "Die Operation ist nicht erlaubt", "Opération non permise"),
    ("Exec format error", "Fehler im Format der Programmdatei", "Erreur de format pour exec()"),
)

# Fixed words, in this order: the longer before what it contains.
_PHRASES = (
    ("schwerwiegender Fehler: ", "fatal error: "),
    ("interner Compiler-Fehler: ", "internal compiler error: "),
    ("Schwerwiegend: ", "fatal: "),
    ("Fehler beim Laden der Shared Libraries", "error while loading shared libraries"),
    ("Fehler beim Nachschlagen des Symbols", "symbol lookup error"),
    ("Kann die Shared-Object-Datei nicht öffnen", "cannot open shared object file"),
    ("Fehler beim Schreiben von", "error writing"),
    ("Schreibfehler: ", "write error: "),
    ("Fehler: ", "error: "),
    ("Fehler in ", "Error in "),
    ("es gibt kein Paket namens", "there is no package called"),
    ("Der Name oder der Dienst ist nicht bekannt", "Name or service not known"),
    ("Temporärer Fehler bei der Namensauflösung", "Temporary failure in name resolution"),
    ("falsche ELF-Klasse", "wrong ELF class"),
    ("Die Datei ist zu kurz", "file too short"),
    ("Ungültiger ELF-Header", "invalid ELF header"),
    ("Speicherzugriffsfehler", "Segmentation fault"),
    ("Getötet", "Killed"),
    ("Kommando nicht gefunden.", "command not found"),
    ("unbekannte Kommandozeilenoption", "unrecognized command-line option"),
    ("wurde in diesem Gültigkeitsbereich nicht definiert", "was not declared in this scope"),
    ("wurde in diesem Gültigkeitsbereich nicht deklariert", "was not declared in this scope"),
    ("wurde nicht deklariert", "has not been declared"),
    ("nicht deklariert (erste Verwendung in dieser Funktion)", "undeclared (first use in this function)"),
    ("nicht deklariert (erstmalige Verwendung in dieser Funktion)", "undeclared (first use in this function)"),
    ("hat kein Element namens", "has no member named"),
    ("keine passende Funktion für Aufruf von", "no matching function for call to"),
    ("ist kein Element von", "is not a member of"),
    ("bezeichnet keinen Typ", "does not name a type"),
    ("zu wenige Argumente für Funktion", "too few arguments to function"),
    ("Zu wenige Argumente für Funktion", "too few arguments to function"),
    ("zu viele Argumente für Funktion", "too many arguments to function"),
    ("; meinten Sie", "; did you mean"),
    ("Es wird auf noch nicht beendete Prozesse gewartet", "Waiting for unfinished jobs"),
    (
        "Es wurden keine Ziele angegeben und keine 'make'-Steuerdatei gefunden",
        "No targets specified and no makefile found",
    ),
    ("Fehlender Trenner", "missing separator"),
    ("erlaubt keine dynamischen Ausnahmespezifikationen", "does not allow dynamic exception specifications"),
    ("Funktion open fehlgeschlagen", "Cannot open"),
    ("Das sieht nicht wie ein 'tar'-Archiv aus", "This does not look like a tar archive"),
    ("Unerwartetes Dateiende im Archiv", "Unexpected EOF in archive"),
    ("fehlgeschlagen: Verbindungsaufbau abgelehnt", "failed: Connection refused"),
    (" Schluss.", " Stop."),
    ("ld gab 1 als Ende-Status zurück", "ld returned 1 exit status"),
    ("Hash-Summe stimmt nicht überein", "Hash Sum mismatch"),
    ("Temporärer Fehlschlag beim Auflösen von", "Temporary failure resolving"),
    ("Fehlschlag beim Holen von", "Failed to fetch"),
    (
        "Probleme können nicht korrigiert werden, Sie haben",
        "Unable to correct problems, you have held broken packages:",
    ),
    ("erreur fatale: ", "fatal error: "),
    ("erreur interne du compilateur: ", "internal compiler error: "),
    ("erreur lors du chargement des librairies partagées", "error while loading shared libraries"),
    ("erreur de recherche de symbole", "symbol lookup error"),
    ("erreur lors de l'ajout de symboles", "error adding symbols"),
    ("Ne peut ouvrir le fichier d'objet partagé", "cannot open shared object file"),
    ("erreur d'écriture dans", "error writing"),
    ("erreur d'écriture", "write error"),
    ("Erreur temporaire de résolution de", "Temporary failure resolving"),
    ("Erreur de segmentation", "Segmentation fault"),
    ("erreur: ", "error: "),
    (" (ignoriert)", " (ignored)"),
    (" (ignorée)", " (ignored)"),
    ("Erreur dans ", "Error in "),
    ("Processus arrêté", "Killed"),
    ("mauvaise classe ELF", "wrong ELF class"),
    ("fichier trop court", "file too short"),
    ("en-tête ELF invalide", "invalid ELF header"),
    ("commande introuvable", "command not found"),
    ("référence indéfinie vers", "undefined reference to"),
    ("définitions multiples de", "multiple definition of"),
    ("défini pour la première fois ici", "first defined here"),
    ("ne peut pas trouver", "cannot find"),
    ("ne peut pas être utilisé en créant un objet partagé", "can not be used when making a shared object"),
    ("recompilez avec", "recompile with"),
    ("fichier dans un mauvais format", "file in wrong format"),
    ("DSO manquant dans la ligne de commande", "DSO missing from command line"),
    ("n'a pas été déclaré dans cette portée", "was not declared in this scope"),
    ("n'a pas été déclaré", "has not been declared"),
    ("non déclaré (première utilisation dans cette fonction)", "undeclared (first use in this function)"),
    ("n'a pas de membre nommé", "has no member named"),
    ("pas de fonction correspondant à l'appel", "no matching function for call to"),
    ("n'est pas un membre de", "is not a member of"),
    ("ne nomme pas un type", "does not name a type"),
    ("trop peu d'arguments pour la fonction", "too few arguments to function"),
    ("trop d'arguments pour la fonction", "too many arguments to function"),
    ("ne peut exécuter '", "cannot execute '"),
    ("Pas de cible spécifiée et aucun makefile n'a été trouvé", "No targets specified and no makefile found"),
    (" Arrêt.", " Stop."),
    ("séparateur manquant", "missing separator"),
    (
        "le C++17 ISO n'autorise pas la spécification dynamique",
        "ISO C++17 does not allow dynamic exception specifications",
    ),
    ("open impossible", "Cannot open"),
    ("Ceci ne ressemble pas à une archive de type 'tar'", "This does not look like a tar archive"),
    ("Fin prématurée rencontrée dans l'archive", "Unexpected EOF in archive"),
    ("ne peut exécuter: le fichier requis n'a pas été trouvé", "cannot execute: required file not found"),
    ("échec: Connexion refusée", "failed: Connection refused"),
    ("ld a retourné le statut de sortie 1", "ld returned 1 exit status"),
    ("impossible de créer le répertoire", "cannot create directory"),
    ("impossible de créer le fichier standard", "cannot create regular file"),
    ("impossible d'évaluer", "cannot stat"),
    ("impossible d'accéder à", "unable to access"),
    ("impossible de résoudre l'adresse de l'hôte", "unable to resolve host address"),
    ("Impossible de trouver le paquet", "Unable to locate package"),
    ("Impossible d'obtenir le verrou", "Could not get lock"),
    ("Impossible de récupérer", "Failed to fetch"),
    ("Impossible de corriger les problèmes", "Unable to correct problems, you have held broken packages"),
    ("Somme de contrôle de hachage incohérente", "Hash Sum mismatch"),
)

_FIXED = (*_PHRASES, *((phrase, english) for english, *foreign in _CALLS for phrase in foreign))


def to_english(text: str) -> str:
    """A line with the messages that are known put into English; a line without any of TRIGGERS stays as it is."""
    if not any(trigger in text for trigger in TRIGGERS):
        return text
    for mark, plain in _TYPOGRAPHY:
        text = text.replace(mark, plain)
    if "«" in text:
        text = (_GERMAN_QUOTES if "»" in text[: text.index("«")] else _FRENCH_QUOTES).sub(r"'\1'", text)
    for needle, pattern, english in _SENTENCES:
        if needle in text:
            text = pattern.sub(english, text)
    for phrase, english in _FIXED:
        text = text.replace(phrase, english)
    return text
