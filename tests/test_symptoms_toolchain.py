"""Symptoms of any build: compilers, linkers, loaders and tools that fail, found, and cured as the remedies say."""

from __future__ import annotations

from pathlib import Path

import pytest
from failing import Case, Taken, check, named

OLD_ABI = "-D_GLIBCXX_USE_CXX11_ABI=0"
MIXED = f"""use: use.o old/def.o
	g++ $^ -o $@
old/def.o:
	g++ -c {OLD_ABI} old/def.cpp -o $@
clean:
	rm -f *.o old/*.o
"""
EMPTY = ("empty.c", "int main(void) { return 0; }\n")
ASK = ("ask.c", "int answer(void);\nint main(void) { return answer(); }\n")
ANSWER = ("lib/answer.c", "int answer(void) { return 0; }\n")
SHARED = "gcc -shared -fPIC lib/answer.c -o lib/libanswer.so -Wl,-soname,libanswer.so.7 && "
VERSIONED = ("versions.map", "VERSION { global: answer; };\n")
COMPILING = (
    Case(
        "header-missing",
        "gcc -c use.c",
        "gcc -Ielsewhere -c use.c",
        (("use.c", '#include "nowhere.h"\n'), ("elsewhere/nowhere.h", "")),
        title="the header nowhere.h is not found",
    ),
    Case(
        "generated-header-missing",
        "g++ -c use.cpp",
        "mkdir -p gen/proto && touch gen/proto/net.pb.h && g++ -Igen -c use.cpp",
        (("use.cpp", '#include "proto/net.pb.h"\n'),),
    ),
    Case("source-missing", "gcc -c lost.c", "cp empty.c lost.c && gcc -c lost.c", (EMPTY,)),
    Case(
        "unknown-option",
        "gcc -std=c++99 -c empty.c",
        "gcc -c empty.c",
        (EMPTY,),
        title="the compiler does not know -std=c++99",
    ),
    Case(
        "compiler-out-of-memory",
        "gcc -B$PWD/killed -c empty.c",
        "gcc -c empty.c",
        (EMPTY, ("killed/cc1", "#!/bin/sh\nkill -9 $$\n")),
    ),
    Case(
        "internal-compiler-error",
        "gcc -B$PWD/killed -c empty.c",
        "gcc -c empty.c",
        (EMPTY, ("killed/cc1", "#!/bin/sh\nkill -11 $$\n")),
    ),
    Case(
        "cxx-compiler-missing",
        "GCC_EXEC_PREFIX=$PWD/none/ COMPILER_PATH=$PWD PATH=$PWD:/usr/bin:/bin gcc -c a.cpp",
        "g++ -c a.cpp",
        (("a.cpp", "int a;\n"),),
    ),
    Case(
        "multilib-missing",
        "gcc -nostdinc -I. -c use.c",
        "gcc -nostdinc -Ipart -c use.c",
        (("use.c", "#include <bits/libc-header-start.h>\n"), ("part/bits/libc-header-start.h", "")),
    ),
    Case(
        "zlib-development-files",
        "gcc -nostdinc -I. -c use.c",
        "gcc -nostdinc -Ipart -c use.c",
        (("use.c", "#include <zlib.h>\n"), ("part/zlib.h", "")),
    ),
)
LINKING = (
    Case(
        "library-missing",
        "gcc ask.c -lanswer",
        SHARED + "gcc ask.c -Llib -lanswer",
        (ASK, ANSWER),
        title="the library answer is not found by the linker",
    ),
    Case("undefined-reference", "gcc ask.c", "gcc ask.c lib/answer.c", (ASK, ANSWER)),
    Case(
        "link-math-threads",
        "make",
        files=(
            ("m.c", "double pow(double, double);\nint main(int n, char **v) { return (int)pow(n, n) - 1; }\n"),
            ("Makefile", "CFLAGS = -fno-builtin\nm: m.o\n"),
        ),
        taken=Taken(),
    ),
    *(
        Case(
            "link-cxx-driver",
            "make",
            files=(("io.cpp", "#include <iostream>\nint main() { std::cout << 1; }\n"), ("Makefile", "io: io.o\n")),
            taken=Taken(only=(each,)),
        )
        for each in ("CC=g++", "LDLIBS=-lstdc++")
    ),
    Case("link-no-main", "gcc nothing.c", "gcc -c nothing.c", (("nothing.c", "int nothing;\n"),)),
    Case(
        "link-atomic",
        "make",
        files=(
            ("atomic.c", "__int128 n;\nint main(void) { return (int)__atomic_fetch_add(&n, 1, __ATOMIC_SEQ_CST); }\n"),
            ("Makefile", "atomic: atomic.o\n"),
        ),
        taken=Taken(),
    ),
    Case(
        "cxx11-abi",
        "make",
        files=(
            ("use.cpp", "#include <string>\nint f(std::string);\nint main() { return f(std::string()); }\n"),
            ("old/def.cpp", "#include <string>\nint f(std::string) { return 0; }\n"),
            (
                "Makefile",
                MIXED,
            ),
        ),
        taken=Taken(only=("make clean", "make CXXFLAGS")),
    ),
    Case(
        "multiple-definition",
        "make",
        files=(
            ("a.c", "int shared;\nint main(void) { return 0; }\n"),
            ("b.c", "int shared;\n"),
            ("Makefile", "a: a.o b.o\nclean:\n\trm -f *.o\n"),
        ),
        taken=Taken(),
    ),
    Case(
        "recompile-with-fpic",
        "make",
        files=(
            ("v.c", "int v = 3;\nint g(void) { return v; }\n"),
            (
                "Makefile",
                "CFLAGS = -fno-pic\nlibv.so: v.o\n\tgcc -shared v.o -o libv.so\nclean:\n\trm -f v.o libv.so\n",
            ),
        ),
        taken=Taken(only=("make clean", "make CFLAGS")),
    ),
    Case(
        "dso-missing",
        SHARED + "ln -sf libanswer.so lib/libanswer.so.7 && gcc -shared -fPIC over.c -o libover.so -Llib -lanswer &&"
        " gcc both.c -L. -lover -Wl,-rpath-link,lib",
        SHARED + "ln -sf libanswer.so lib/libanswer.so.7 && gcc -shared -fPIC over.c -o libover.so -Llib -lanswer &&"
        " gcc both.c -L. -lover -Llib -lanswer",
        (
            ANSWER,
            ("over.c", "int answer(void);\nint over(void) { return answer(); }\n"),
            ("both.c", "int answer(void);\nint over(void);\nint main(void) { return over() + answer(); }\n"),
        ),
    ),
    Case(
        "object-for-another-machine",
        "gcc -c empty.c -o foreign.o && printf '\\003\\000' | dd of=foreign.o bs=1 seek=18 conv=notrunc 2>/dev/null &&"
        " gcc foreign.o",
        "gcc -c empty.c -o foreign.o && gcc foreign.o",
        (EMPTY,),
    ),
)
BUILT = SHARED + "gcc ask.c -Llib -lanswer -o ask && ln -sf libanswer.so lib/libanswer.so.7; "
STUB = "gcc -shared -fPIC lib/answer.c -o stub/{0} -Wl,--version-script=versions.map -Wl,-soname,{0} && "
LOADING = (
    Case(
        "shared-library-missing",
        BUILT + "./ask",
        files=(ASK, ANSWER),
        taken=Taken(only=("export LD_LIBRARY_PATH",), filled=(("DIRECTORY", "lib"),)),
        title="the shared library libanswer.so.7 is not found by the loader",
    ),
    Case(
        "shared-library-missing",
        "$PYTHON -c 'import ctypes; ctypes.CDLL(\"libanswer.so.7\")'",
        BUILT + "LD_LIBRARY_PATH=lib $PYTHON -c 'import ctypes; ctypes.CDLL(\"libanswer.so.7\")'",
        (ASK, ANSWER),
    ),
    Case(
        "undefined-symbol-at-load",
        BUILT + "gcc -shared -fPIC other.c -o lib/libanswer.so.7; LD_LIBRARY_PATH=lib LD_BIND_NOW=1 ./ask",
        BUILT + "LD_LIBRARY_PATH=lib ./ask",
        (ASK, ANSWER, ("other.c", "int other(void) { return 0; }\n")),
        title="./ask needs a symbol that no loaded library has",
    ),
    Case(
        "file-too-short",
        BUILT + "rm lib/libanswer.so.7; echo cut > lib/libanswer.so.7; LD_LIBRARY_PATH=lib ./ask",
        BUILT + "LD_LIBRARY_PATH=lib ./ask",
        (ASK, ANSWER),
    ),
    Case(
        "wrong-elf-class",
        BUILT
        + "printf '\\001' | dd of=lib/libanswer.so bs=1 seek=4 conv=notrunc 2>/dev/null; LD_LIBRARY_PATH=lib ./ask;"
        " $PYTHON -c 'import ctypes; ctypes.CDLL(\"lib/libanswer.so\")'",
        BUILT + "LD_LIBRARY_PATH=lib ./ask",
        (ASK, ANSWER),
    ),
    Case(
        "glibc-too-old",
        "mkdir -p stub; sed -i s/VERSION/GLIBC_9.99/ versions.map; "
        + STUB.format("libm.so.6")
        + "gcc ask.c stub/libm.so.6 -o ask && ./ask",
        BUILT + "LD_LIBRARY_PATH=lib ./ask",
        (ASK, ANSWER, VERSIONED),
        title="the program needs a newer C library than this system has: GLIBC_9.99",
    ),
    Case(
        "glibcxx-not-found",
        "mkdir -p conda/lib; sed -i s/VERSION/GLIBCXX_3.4.99/ versions.map; "
        + STUB.replace("stub/", "conda/lib/").format("libstdc++.so.6")
        + "gcc ask.c conda/lib/libstdc++.so.6 -o ask && ./ask",
        "./ask",
        (ASK, ANSWER, VERSIONED),
        taken=Taken(only=("export LD_LIBRARY_PATH",), filled=(("$CONDA_PREFIX", "conda"),)),
    ),
    Case(
        "library-version-missing",
        "mkdir -p stub old; sed -i s/VERSION/ANSWER_2/ versions.map; "
        + STUB.format("libanswer.so.7")
        + "sed -i s/ANSWER_2/ANSWER_1/ versions.map; "
        + STUB.replace("stub/", "old/").format("libanswer.so.7")
        + "gcc ask.c stub/libanswer.so.7 -o ask && LD_LIBRARY_PATH=old ./ask",
        "mkdir -p stub; sed -i s/VERSION/ANSWER_2/ versions.map; "
        + STUB.format("libanswer.so.7")
        + "gcc ask.c stub/libanswer.so.7 -o ask && LD_LIBRARY_PATH=stub ./ask",
        (ASK, ANSWER, VERSIONED),
    ),
    Case(
        "exec-format",
        "printf '\\177ELFgarbage' > bad && chmod +x bad && ./bad",
        "gcc empty.c -o good && ./good",
        (EMPTY,),
    ),
)
TOOLS = (
    Case(
        "no-rule-to-make",
        "make",
        "gcc -c empty.c -o part.o && make",
        (("Makefile", "program: part.o\n\tgcc part.o -o program\n"), EMPTY),
        title="make has neither part.o nor a rule that makes it",
    ),
    Case("no-makefile", "make", "printf 'all:\\n' > Makefile && make"),
    Case(
        "tool-missing",
        "make",
        "mkdir -p bin && ln -s /bin/true bin/nonesuch-tool && PATH=$PWD/bin:$PATH make",
        (("Makefile", "all:\n\tnonesuch-tool x\n"),),
        title="the program nonesuch-tool is not installed",
    ),
    Case(
        "tool-missing",
        "make",
        "mkdir -p bin && ln -s /bin/true bin/nonesuch-tool && PATH=$PWD/bin:$PATH make",
        (("Makefile", "all:\n\tnonesuch-tool; exit $$?\n"),),
    ),
    Case(
        "compiler-missing",
        "PATH=$PWD/none $(command -v make) CC=gcc",
        "make CC=gcc",
        (("Makefile", "all: ; $(CC) -c empty.c\n"), EMPTY),
    ),
    Case(
        "not-executable",
        "./configure",
        files=(("configure", "#!/bin/sh\nexit 0\n"),),
        taken=Taken(only=("chmod +x",)),
        title="./configure may not be executed",
    ),
    Case(
        "text-file-busy",
        "cp /bin/sleep running; ./running 9 & sleep 0.3; cp /bin/true running; kill $!",
        "cp /bin/sleep running; ./running 9 & sleep 0.3; rm running; cp /bin/true running; s=$?; kill $!; exit $s",
    ),
    Case("disk-full", "cp empty.c /dev/full", "cp empty.c elsewhere.c", (EMPTY,)),
    Case(
        "patch-hunk-failed",
        "patch -p1 < fix.patch",
        "sed -i 's/return 2/return 1/' fix.patch && patch -p1 < fix.patch",
        (
            ("empty.c", "int main(void) { return 1; }\n"),
            (
                "fix.patch",
                "--- a/empty.c\n+++ b/empty.c\n@@ -1 +1 @@\n-int main(void) { return 2; }\n+int main() { return 0; }\n",
            ),
        ),
    ),
    Case(
        "git-dubious-ownership",
        "git init -q . && GIT_TEST_ASSUME_DIFFERENT_OWNER=1 git status",
        taken=Taken(only=("safe.directory",)),
    ),
    Case(
        "connection-failed",
        "git clone -q http://127.0.0.1:9/nothing.git",
        "git init -q --bare here.git && git clone -q here.git there",
    ),
)


@pytest.mark.parametrize("case", COMPILING, ids=named)
def test_compiling(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.mark.parametrize("case", LINKING, ids=named)
def test_linking(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.mark.parametrize("case", LOADING, ids=named)
def test_loading(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.mark.parametrize("case", TOOLS, ids=named)
def test_tools_and_machine(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
