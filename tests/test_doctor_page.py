"""The doctor's HTML page and its redaction; `real` tests look at the page with a headless Chromium."""

from __future__ import annotations

import html.parser
import os
import re
import resource
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from devsetup.app.doctoring import save
from devsetup.console.doctor_page import page
from devsetup.doctor import Evidence, Fix, Result
from devsetup.doctor.finding import STATUSES, Status
from devsetup.doctor.redaction import Personal, redactor
from devsetup.doctor.report import Report, machine
from devsetup.errors import InvalidInput
from devsetup.loader import Loader, default_root

HOSTILE = (
    "<script>document.title = 'owned'</script>",
    "</pre></details><img src=http://192.0.2.1/x onerror=\"document.title='owned'\">",
    "{{ 7 * 7 }} {% raw %} &amp; \" ' \x1b[2J </style><style>body{display:none}",
    "<a href=\"javascript:document.title='owned'\">link</a>",
)


def result(number: int, status: Status, **changes: object) -> Result:
    group = ("os", "tc", "cuda", "own")[number % 4]
    values = {
        "id": f"{group}.check-{number}",
        "group": group,
        "status": status,
        "summary": f"summary {number}",
        "ms": 1.5,
    }
    return Result(**{**values, **changes})  # type: ignore[arg-type]


def report(*results: Result, **changes: object) -> Report:
    facts = Loader(default_root({})).host("debian-13+cuda-12.4")
    values = {
        "made": "2026-01-02T03:04:05+00:00",
        "devsetup": "1.2.3",
        "goals": ("caffe", "theano"),
        "machine": machine(facts),
        "results": results,
        "notes": ("a note",),
        "ignored": ("os.locale",),
    }
    return Report(**{**values, **changes})  # type: ignore[arg-type]


def hostile() -> Report:
    """Every text of a report is hostile, in results of every status."""
    results = [
        result(
            number,
            status,
            summary=text,
            detail=(text,),
            evidence=(Evidence(source=text, value=f"{text}\n{text}"),),
            fix=Fix(text=text, commands=(text, "sudo true"), needs_root=status == "warn", auto=status == "fail"),
        )
        for number, (status, text) in enumerate((status, text) for status in STATUSES for text in HOSTILE)
    ]
    return report(*results, notes=HOSTILE, machine=tuple(("label", text) for text in HOSTILE))


class Reader(html.parser.HTMLParser):
    """Collects a page's tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_has_every_result_with_its_evidence_and_commands() -> None:
    found = report(
        result(0, "ok"),
        result(1, "warn", detail=("a detail",), fix=Fix(text="do this", commands=("sudo one", "two"), needs_root=True)),
        result(3, "fail", evidence=(Evidence(source="/etc/x", value="seen"),), fix=Fix(text="mend", auto=True)),
    )
    reader = Reader(page(found))
    text = "\n".join(reader.words)
    for words in ("summary 0", "os.check-0", "a detail", "do this", "sudo one\ntwo", "/etc/x", "seen", "mend"):
        assert words in text, words
    assert "devsetup doctor: caffe, theano" in text
    assert "1 failure, 1 warning, 1 ok" in text
    assert "ignored by config.toml: os.locale" in text
    assert "a note" in text
    assert "CUDA" in text
    assert "12.4" in text
    assert reader.tags.count("details") == 2
    assert text.count("devsetup doctor --fix") == 1


def test_the_page_needs_nothing_from_anywhere_and_no_script() -> None:
    text = page(hostile())
    reader = Reader(text)
    assert not set(reader.tags) & {"script", "img", "link", "iframe", "a", "object", "form"}
    assert {name for name, _ in reader.attributes if name.startswith("on")} == set()
    assert not [value for name, value in reader.attributes if name in {"src", "href", "style"}]
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "&lt;script&gt;" in text
    assert "{{ 7 * 7 }}" in text


def test_the_page_is_accessible() -> None:
    text = page(report(result(0, "ok"), result(1, "fail"), result(4, "skip")))
    reader = Reader(text)
    assert '<html lang="en">' in text
    assert [reader.tags.count(tag) for tag in ("header", "main", "footer", "h1")] == [1, 1, 1, 1]
    labelled = [value for name, value in reader.attributes if name == "aria-labelledby"]
    ids = [value for name, value in reader.attributes if name == "id"]
    assert set(labelled) <= set(ids)
    assert len(ids) == len(set(ids))
    assert reader.tags.count("section") == len(labelled) == 3
    assert reader.tags.count("input") == reader.tags.count("label") == 3


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_colour_of_text_has_the_contrast_that_wcag_asks_for(scheme: int) -> None:
    block = re.findall(r":root \{(.*?)\}", page(report()), re.DOTALL)[scheme]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
    assert set(STATUSES) < set(colours)
    for name in (*STATUSES, "ink", "soft", "link"):
        for ground in ("page", "card", "code"):
            low, high = sorted((luminance(colours[name]), luminance(colours[ground])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (name, ground)


def test_a_page_is_written_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    save(target, "one")
    with target.open() as reading:
        save(target, "twö")
        assert reading.read() == "one"  # whoever reads meanwhile reads the old page, not half of each
    assert target.read_text("utf-8") == "twö"
    link = tmp_path / "link.html"
    link.symlink_to(target)
    save(link, "three")
    assert (link.is_symlink(), target.read_text()) == (True, "three")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.html", "report.html"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~_umask()


def test_a_page_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    save(target, "old")
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(InvalidInput, match="File too large"):
            save(target, "new" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("where", ["gone/report.html", "directory", "file/report.html", "pipe", "n" * 300])
def test_a_place_where_no_page_can_be_is_told_and_nothing_is_left(tmp_path: Path, where: str) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InvalidInput) as caught:
        save(tmp_path / where, "text")
    assert str(tmp_path / where) in caught.value.message
    assert caught.value.hint
    assert sorted(tmp_path.rglob("*")) == before


ALICE = Personal(homes=("/home/alice", "/data/people/7"), users=("alice", "root", ""), hosts=("box.example.org", "box"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/alice/lib/x.so", "~/lib/x.so"),
        ("/home/alice", "~"),
        ("PATH=/usr/bin:/home/alice/bin:/data/people/7/bin", "PATH=/usr/bin:~/bin:~/bin"),
        ("-L/home/alice/lib -I/data/people/7", "-L~/lib -I~"),
        ("file:///home/alice/x", "file://~/x"),
        ("/home/alice2/x and /home/alice.old", "/home/alice2/x and /home/USER.old"),
        ("/data/people/77", "/data/people/77"),
        ("/mnt/home/alice/x", "/mnt/home/USER/x"),
        ("owned by alice:video; alice's", "owned by USER:video; USER's"),
        ("sudo usermod -aG video alice", "sudo usermod -aG video USER"),
        ("/tmp/devsetup-alice/x", "/tmp/devsetup-USER/x"),
        ("root:root malice boxes", "root:root malice boxes"),
        ("on box, box.example.org", "on HOST, HOST"),
        ("http://bob:pw@proxy:3128/", "http://user:***@proxy:3128/"),
        ("http://bob:p@ss/w@proxy:3128", "http://user:***@proxy:3128"),
        ("https://token@github.com/x", "https://user:***@github.com/x"),
        ("http_proxy=bob:pw@proxy:3128", "http_proxy=user:***@proxy:3128"),
        ("https://example.org/simple", "https://example.org/simple"),
        ("/opt/homebrew/opt/python@3.11/bin:/usr/opt/llvm@18", "/opt/homebrew/opt/python@3.11/bin:/usr/opt/llvm@18"),
        ("GPU-01234567-89ab-cdef-0123-456789abcdef", "GPU-***"),
        ("MIG-01234567-89AB-cdef-0123-456789abcdef", "MIG-***"),
        ("GPU-0", "GPU-0"),
    ],
)
def test_redaction(text: str, expected: str) -> None:
    assert redactor(ALICE)(text) == expected


def test_redaction_without_anyone_changes_nothing() -> None:
    text = "/home/x on box: root, ~, //, USER"
    assert redactor(Personal(homes=("", "/", "//"), users=("",), hosts=("localhost",)))(text) == text


def test_every_free_text_of_a_report_is_rewritten() -> None:
    texts = {"summary": "t", "detail": ("t",), "evidence": (Evidence(source="t", value="t"),)}
    found = report(
        result(0, "ok", **texts, fix=Fix(text="t", commands=("t",))), notes=("t",), machine=(("label", "t"),)
    )
    rewritten = found.rewritten(lambda text: text.replace("t", "X"))
    (changed,) = rewritten.results
    assert (changed.id, changed.status, changed.summary, changed.detail) == ("os.check-0", "ok", "X", ("X",))
    assert changed.evidence == (Evidence(source="X", value="X"),)
    assert changed.fix == Fix(text="X", commands=("X",))
    assert (rewritten.notes, rewritten.machine) == (("X",), (("label", "X"),))


class Chromium:
    """A headless browser with an empty profile, and all that it logs."""

    def __init__(self, profile: Path) -> None:
        program = shutil.which("chromium")
        assert program, "chromium is needed by this test; .ci/run installs it"
        self.argv = (program, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}")
        self.log = profile / "netlog.json"

    def run(self, path: Path, *options: str) -> subprocess.CompletedProcess[str]:
        logging = ("--enable-logging=stderr", "--v=0", f"--log-net-log={self.log}")
        argv = [*self.argv, *logging, *options, path.as_uri()]
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)

    def dom(self, path: Path) -> str:
        done = self.run(path, "--dump-dom")
        assert not re.findall(r"CONSOLE.*", done.stderr)
        return done.stdout


@pytest.fixture
def chromium(tmp_path: Path) -> Chromium:
    return Chromium(tmp_path / "profile")


@pytest.mark.real
def test_a_browser_shows_every_result_and_hostile_text_is_inert(chromium: Chromium, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    found = hostile()
    path.write_text(page(found), encoding="utf-8")
    dom = chromium.dom(path)
    reader = Reader(dom)
    for each in found.results:
        assert each.id in reader.words
    assert "<title>devsetup doctor: " in dom
    assert "owned" not in dom[: dom.index("</title>")]
    assert not set(reader.tags) & {"script", "img"}
    assert reader.tags.count("style") == 1
    assert "192.0.2.1" not in chromium.log.read_text()


@pytest.mark.real
def test_the_browser_would_have_told_of_a_script_and_a_request(chromium: Chromium, tmp_path: Path) -> None:
    """What the test above looks for can be seen: the same page without its protections is caught."""
    path = tmp_path / "report.html"
    text = page(report(result(0, "ok", summary="HERE")))
    bad = "<script>document.title = 'owned'</script><img src=http://127.0.0.1:9/x>"
    unsafe = re.sub(r"<meta http-equiv=.*?>", "", text).replace("HERE", bad)
    path.write_text(unsafe, encoding="utf-8")
    dom = chromium.run(path, "--dump-dom").stdout
    assert "<title>owned</title>" in dom
    assert "127.0.0.1:9" in chromium.log.read_text()
    path.write_text(text.replace("HERE", bad), encoding="utf-8")  # with them, not even unescaped text can act
    assert "<title>owned</title>" not in chromium.run(path, "--dump-dom").stdout


@pytest.mark.real
@pytest.mark.parametrize("width", [400, 1280])
def test_a_browser_draws_the_page_without_a_scroll_bar_sideways(chromium: Chromium, tmp_path: Path, width: int) -> None:
    path, picture = tmp_path / "report.html", tmp_path / "report.png"
    long = "word" * 100  # no place to break it
    path.write_text(
        page(report(result(0, "fail", summary=long, fix=Fix(text=long, commands=(long,)), detail=(long,)))), "utf-8"
    )
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe src="{path.as_uri()}" style="width: {width}px; height: 800px" id="f"></iframe>'
        "<script>onload = () => { const d = f.contentDocument; document.title = Math.ceil(Math.max("
        "...[...d.querySelectorAll('body *')].map(e => { const b = e.getBoundingClientRect();"
        "return Math.max(b.right, b.left + e.scrollWidth) }))) + '/' + d.documentElement.clientWidth }</script>"
    )
    dom = chromium.run(frame, "--dump-dom", "--allow-file-access-from-files").stdout
    found = re.search(r"<title>(\d+)/(\d+)</title>", dom)
    assert found, dom[:500]
    assert 300 < int(found[1]) <= int(found[2]) <= width  # nothing reaches beyond the edge, or is cut off there
    chromium.run(path, f"--screenshot={picture}", f"--window-size={width},1200")
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.real
def test_the_filter_works_without_a_script(chromium: Chromium, tmp_path: Path) -> None:
    """A box that is not checked hides its results, and the sections that then hold nothing."""
    text = page(report(result(0, "ok"), result(1, "fail"), result(5, "ok")))
    probe = (
        "<script>document.title = [...document.querySelectorAll('.result, section[id]')]"
        ".map(e => getComputedStyle(e).display != 'none' ? 1 : 0).join('')</script></body>"
    )
    frames = {"show all": text, "hide ok": text.replace('id="show-ok" checked', 'id="show-ok"')}
    shown = {}
    for name, frame in frames.items():
        path = tmp_path / "report.html"
        unprotected = re.sub(r"<meta http-equiv=.*?>", "", frame)
        path.write_text(unprotected.replace("</body>", probe), encoding="utf-8")
        shown[name] = re.findall(r"<title>(\d+)</title>", chromium.run(path, "--dump-dom").stdout)
    # sections and results in the page's order: os [ok], tc [fail, ok]
    assert shown == {"show all": ["11111"], "hide ok": ["00110"]}
