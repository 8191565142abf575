"""Machines that do not play along: no room, no permission, no network that answers, and a user who presses Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Hello
from test_install import wait_for


@pytest.mark.parametrize("home", ["/proc/devsetup", "/dev/null/devsetup"])
def test_a_home_that_cannot_be_written_is_refused_before_any_work(hello: Hello, home: str) -> None:
    done = hello.run("install", "hello", "-y", "--home", home)
    assert done.returncode == 1
    assert "cannot" in done.stderr
    assert home in done.stderr
    assert "--home DIR" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_home_with_a_space_is_refused_with_the_reason(hello: Hello) -> None:
    home = hello.root / "my home"
    done = hello.run("install", "hello", "-y", "--home", str(home))
    assert done.returncode == 1
    assert "space in its path" in done.stderr
    assert not home.exists()


def in_small_home(hello: Hello, size: str) -> subprocess.CompletedProcess[str]:
    """Install with the home on a file system of that size, in a mount namespace of its own."""
    hello.home.mkdir()
    script = (
        'mount -t tmpfs -o size="$1" none "$2" && shift 2 && "$@"; code=$?; ls -R "$DEVSETUP_HOME/store"; exit $code'
    )
    return subprocess.run(
        [
            "unshare",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
            size,
            str(hello.home),
            sys.executable,
            "-m",
            "devsetup",
            "install",
            "hello",
            "-y",
        ],
        env=hello.env(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def mounts() -> None:
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root")


@pytest.mark.parametrize("size", ["16k", "48k", "80k"])
@pytest.mark.usefixtures("mounts")
def test_a_full_disk_is_named_and_leaves_no_receipt(hello: Hello, size: str) -> None:
    done = in_small_home(hello, size)
    assert done.returncode == 1, done.stderr
    assert "No space left on device" in done.stderr or "no space left" in done.stderr or "is full" in done.stderr
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr
    assert "installed in" not in done.stderr


def test_too_little_room_is_found_out_beforehand(hello: Hello) -> None:
    recipe = hello.catalogue / "recipes/hello.py"
    recipe.write_text(recipe.read_text().replace("steps=steps,", "steps=steps, disk_mb=10**9,"))
    done = hello.run("install", "hello", "-y")
    assert done.returncode == 1
    assert "MB free" in done.stderr
    assert not hello.prefixes()


@pytest.fixture
def stalling(hello: Hello) -> Iterator[threading.Event]:
    """A server that accepts, promises a file and then says nothing; the recipe's source points there."""
    listener = socket.create_server(("127.0.0.1", 0))
    reached = threading.Event()
    open_ends = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\npart")
            open_ends.append(connection)
            reached.set()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    recipe = hello.catalogue / "recipes/hello.py"
    recipe.write_text(recipe.read_text().replace(hello.url, f"http://127.0.0.1:{listener.getsockname()[1]}/x.tar.gz"))
    yield reached
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for connection in open_ends:
        connection.close()
    thread.join(5)


def interrupted(hello: Hello, process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert hello.run("env", "hello").returncode == 2, "nothing may count as installed"


def test_ctrl_c_while_downloading(hello: Hello, stalling: threading.Event) -> None:
    process = hello.start("install", "hello", "-y")
    assert stalling.wait(30)
    interrupted(hello, process)
    finished = list((hello.home / "downloads").rglob("*.tar.gz"))
    assert not finished, "a half download must not carry its final name"
    hello.write_source()
    done = hello.run("install", "hello", "-y")
    assert done.returncode == 0, done.stderr


def test_ctrl_c_while_proving(hello: Hello) -> None:
    mark = hello.root / "mark"
    work = hello.catalogue / "workloads/hello/work.sh"
    good = work.read_text()
    work.write_text(f"touch {mark}; sleep 60\n")
    process = hello.start("install", "hello", "-y")
    wait_for(mark.exists)
    interrupted(hello, process)
    work.write_text(good)
    done = hello.run("install", "hello", "-y")
    assert done.returncode == 0, done.stderr


def test_ctrl_c_while_waiting_for_another(hello: Hello) -> None:
    mark = hello.root / "mark"
    hello.gate(f"touch {mark}; sleep 5\n")
    first = hello.start("install", "hello", "-y")
    wait_for(mark.exists)
    second = hello.start("install", "hello", "-y")
    seen = ""
    assert second.stderr is not None
    while "waiting for" not in seen:
        seen = second.stderr.readline()
    second.send_signal(signal.SIGINT)
    _, err = second.communicate(timeout=30)
    assert second.returncode == 130, err
    first.communicate(timeout=60)
    assert first.returncode == 0


def test_another_users_install_can_be_used_but_not_changed(hello: Hello) -> None:
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    assert hello.run("install", "hello", "-y").returncode == 0
    for path in [hello.root, *hello.root.parents]:
        if path == Path("/tmp"):
            break
        path.chmod(0o755)

    def other(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-m", "devsetup", *argv],
            env=hello.env(HOME="/nonexistent", PYTHONDONTWRITEBYTECODE="1"),
            capture_output=True,
            text=True,
            check=False,
        )

    if other("--version").returncode:
        pytest.skip("another user cannot read this Python")
    assert other("run", "hello", "--", "hello").stdout == "hello\n"
    denied = other("uninstall", "hello", "-y")
    assert denied.returncode == 1
    assert "cannot" in denied.stderr
    assert "Traceback" not in denied.stderr
    assert hello.run("run", "hello", "--", "hello").stdout == "hello\n"
