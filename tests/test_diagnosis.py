"""How a log is read: against a naive reader, and with logs made for one point each."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devsetup.diagnosis import Log, read, reading
from devsetup.diagnosis.literals import required
from devsetup.diagnosis.reading import TRIGGERS, Window, clean
from devsetup.diagnosis.translation import TRIGGERS as FOREIGN

# Parts of lines: what hides or cuts triggers, and what does not matter.
PARTS = (
    *(b"error: x", b"fatal error: a.h: No such file", b"undefined reference to `f'", b"make: *** [all] Error 1"),
    *(b"gcc -c error.c -o error.o", b"-Werror", b"ok", b" ", b"\t", b"\x1b[31m", b"\x1b[0m\x1b[K", b"err\x1b[1mor: y"),
    *(
        b"\x1b]8;;http://x\x07link\x1b]8;;\x07",
        b"\x1b(B",
        b"\x00",
        b"\r",
        b"\xfc",
        "ü".encode(),
        "\u2018q\u2019".encode(),
        b"er",
    ),
    *(b"ror: z", b"Fehler: ", b"erreur: ", b"10%\r", b"2024-01-01T00:00:00.0000000Z "),
)
LOGS = st.lists(st.sampled_from((*PARTS, b"\n", b"\n", b"\r\n")), max_size=60).map(b"".join)


def naive(data: bytes) -> list[Window]:
    """The same without blocks: every line looked at."""
    lines = re.sub(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*\x07|\(B)", b"", data).split(b"\n")
    triggers = [trigger.encode() for trigger in (*TRIGGERS, *FOREIGN)]
    return [
        Window(index + 1, clean(line), "\n".join(map(clean, lines[index : index + 4])))
        for index, line in enumerate(lines)
        if any(trigger in line for trigger in triggers)
    ]


@settings(max_examples=300, deadline=None)
@given(data=LOGS, cuts=st.lists(st.integers(min_value=0, max_value=400), max_size=8))
def test_lines_and_numbers_are_those_of_a_naive_reader_wherever_blocks_end(data: bytes, cuts: list[int]) -> None:
    borders = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    blocks = [data[start:end] for start, end in itertools.pairwise(borders)]
    log = Log()
    assert list(read(blocks, log)) == naive(data)
    assert log.lines == data.count(b"\n") + (bool(data) and not data.endswith(b"\n"))


def texts(data: bytes) -> list[tuple[int, str]]:
    return [(window.number, window.text) for window in read((data,), Log())]


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"a\r\nerror: x\r\n", [(2, "error: x")]),
        (b"10%\r50%\r100%\rerror: disk\n", [(1, "error: disk")]),
        (b"error: overwritten\rfine\n", [(1, "fine")]),
        (b"\x1b[01m\x1b[Ka.c:1:1:\x1b[m\x1b[K \x1b[01;31m\x1b[Kerror: \x1b[m\x1b[Kx\n", [(1, "a.c:1:1: error: x")]),
        (b"\x1b]8;;https://example.org\x1b\\error: x\x1b]8;;\x1b\\\n", [(1, "error: x")]),
        (b"\x1b(B\x1b[m\x1b7error: x\x1b8", [(1, "error: x")]),
        (b"\x1b]0;never closed\nerror: x\x07\n", [(2, "error: x")]),
        (b"er\x00ror: no\nerror: a\x00b\x07\x08c\n", [(2, "error: abc")]),
        (b"error: last line without an end", [(1, "error: last line without an end")]),
        ("a.c:1: error: \u2018x\u2019 undeclared\n".encode(), [(1, "a.c:1: error: 'x' undeclared")]),
        ("a.c:1: Fehler: »x« nicht deklariert\n".encode("latin-1"), [(1, "a.c:1: error: 'x' nicht deklariert")]),
        (b"2024-05-01T10:11:12.1234567Z error: x\n", [(1, "error: x")]),
        (b"2024-05-01T10:11:12.123456Z 01O error: x\n", [(1, "error: x")]),
        (b"[2024-05-01T10:11:12.123Z] error: x\n", [(1, "error: x")]),
        (b"#12 34.56 error: x\n", [(1, "error: x")]),
        (b"2024-05-01T10:11:12.1234567Z #12 34.56 error: x\n", [(1, "error: x")]),
        (b"web-1  | error: x\n", [(1, "error: x")]),
        (b"   12 | error: x\n", [(1, "   12 | error: x")]),
        (b"\xef\xbb\xbferror: x\n", [(1, "error: x")]),
        (b"", []),
        (b"\n\n\n", []),
        (b"gcc -Werror -c error.c -o error.o\nchecking for hdf5.h... no\n", []),
    ],
)
def test_a_line_is_what_a_person_reads(data: bytes, shown: list[tuple[int, str]]) -> None:
    assert texts(data) == shown


def test_of_a_huge_line_its_beginning_and_its_end_are_kept() -> None:
    begins_and_ends = b"a.c:1: error: " + b"x" * 3_000_000 + b" undefined reference to `f'"
    (window,) = list(read((begins_and_ends,), Log()))
    assert window.text.startswith("a.c:1: error: xxx")
    assert window.text.endswith("undefined reference to `f'")
    assert len(window.text) < 2100


def test_a_huge_line_in_blocks_takes_no_more_than_a_few_of_them() -> None:
    log = Log()
    blocks = (b"first\n", *(b"x" * (1 << 20) for _ in range(20)), b"\nerror: after\n")
    assert [(window.number, window.text) for window in read(blocks, log)] == [(3, "error: after")]
    assert log.lines == 3


def test_of_very_many_errors_the_first_and_the_last_are_read_and_all_lines_counted() -> None:
    line = b"a.c:%07d: error: something is wrong with this line of the program that is being compiled here\n"
    block = [b"".join(line % number for number in range(start, start + 5000)) for start in range(0, 100_000, 5000)]
    log = Log()
    numbers = [window.number for window in read(block, log)]
    assert numbers[:1000] == list(range(1, 1001))
    assert numbers[-1] == log.lines == 100_000
    assert len(numbers) < 50_000
    assert numbers == sorted(set(numbers))


def test_the_tail_is_clean() -> None:
    log = Log()
    list(read((b"one\n\n\x1b[31mtwo\x1b[0m\r\n   \n1%\r2%\rthree\n",), log))
    assert log.tail == ("one", "two", "three")


def test_every_trigger_finds_its_own_lines() -> None:
    for trigger in (*TRIGGERS, *FOREIGN):
        assert [number for number, _ in texts(f"before\nx{trigger}y\nafter\n".encode())] == [2], trigger


@pytest.mark.parametrize(
    ("expression", "texts"),
    [
        (r"fatal error: .?hdf5(_hl)?\.h", ("hdf5",)),
        (r"cannot find -l(?:cblas|atlas)\b", ("cannot find -l",)),
        (r"library '(?:z)' not found|no z", ("' not found", "no z")),
        (r"(?:a|b)", ("a", "b")),
        (r"x?y*z{0,3}", ()),
        (r"ab+cd", ("ab",)),
        (r"a{2}bcd", ("bcd",)),
        (r"(?:foo)?bar", ("bar",)),
        (r"(?P<name>long text) b", ("long text",)),
        (r"(?!never)b(?<=b)c", ("b",)),
        (r"one\ntwo", ("one\ntwo",)),
        (r"\(\[x\]\)", ("([x])",)),
        (r"[a-z()|]+end", ("end",)),
        (r"(?i)error", ()),
        (r"(a)(?(1)b|c)", ()),
        (r"\d\w.", ()),
        (r"", ()),
    ],
)
def test_required_texts(expression: str, texts: tuple[str, ...]) -> None:
    assert required(expression) == texts


@settings(max_examples=400, deadline=None)
@given(
    expression=st.lists(
        st.sampled_from(("a", "b", "(?:", "(", "|", ")", "?", "+", "*", "{2}", "[ab]", r"\n", "(?!", ".")), max_size=12
    ).map("".join),
    text=st.text(alphabet="ab\n", max_size=8),
)
def test_required_texts_are_in_whatever_matches(expression: str, text: str) -> None:
    try:
        found = re.search(expression, text)
    except re.error:
        return
    needs = required(expression)
    if found and needs:
        assert any(need in text for need in needs)


def test_blocks_shorter_than_a_line_are_joined() -> None:
    data = b"first\nx.c:1:2: error: boom and more\nlast\n"
    log = Log()
    found = list(read((data[at : at + 1] for at in range(len(data))), log))
    assert [(window.number, window.text) for window in found] == [(2, "x.c:1:2: error: boom and more")]
    assert log.lines == 3
    assert reading._ENOUGH > 1000
