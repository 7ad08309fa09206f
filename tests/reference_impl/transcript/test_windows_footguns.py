"""The reference system runs on Windows too: no call that only POSIX has, and no habit that only POSIX forgives."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent.parent.parent / "reference_impl"
FILES = sorted(PACKAGE.rglob("*.py"))
POSIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
POSIX_CALLS = {
    "os": {
        *("chown", "chroot", "fork", "forkpty", "getegid", "geteuid", "getgid", "getuid", "initgroups", "killpg", "lchown"),
        *("link", "mkfifo", "mknod", "nice", "openpty", "pread", "preadv", "pwrite", "pwritev", "sendfile", "setgid", "setpgid"),
        *("setsid", "setuid", "statvfs", "sync", "symlink", "uname", "wait", "wait3", "wait4", "waitid", "rename"),
        *("O_CLOEXEC", "O_DIRECTORY", "O_DSYNC", "O_NOFOLLOW", "O_SYNC", "SEEK_HOLE", "SEEK_DATA"),
    },
    "signal": {"SIGKILL", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2", "alarm", "pause", "setitimer"},
}


def footguns(source):
    """The lines of a program that hurt on Windows, with the reason."""
    tree = ast.parse(source)
    guarded = [
        part
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "platform" in ast.unparse(node.test)
        for part in node.body + node.orelse
    ]
    safe = {inner for part in guarded for inner in ast.walk(part)}
    for node in ast.walk(tree):
        if node in safe:
            continue
        if isinstance(node, ast.Import) and POSIX_MODULES & {name.name for name in node.names}:
            yield node.lineno, "a module of POSIX"
        if isinstance(node, ast.Attribute) and node.attr in POSIX_CALLS.get(ast.unparse(node.value), ()):
            yield node.lineno, f"{ast.unparse(node)} is missing there, or behaves otherwise"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "open":
            modes = [ast.unparse(arg) for arg in node.args[1:2]] + [
                ast.unparse(k.value) for k in node.keywords if k.arg == "mode"
            ]
            if not any("b" in mode for mode in modes) and not any(k.arg == "encoding" for k in node.keywords):
                yield node.lineno, "the encoding of text differs"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_nothing_needs_posix(path):
    """What only POSIX has stands behind a question for the platform, with another branch beside it."""
    assert list(footguns(path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    ["import fcntl", "os.fork()", "x = os.O_DIRECTORY", "os.rename(a, b)", "signal.SIGKILL", "open('f')", "open('f', 'w')"],
)
def test_the_check_sees_them(source):
    """Each kind of them is found, so that the test above can fail."""
    assert list(footguns(source))


@pytest.mark.parametrize(
    "source",
    [
        "if sys.platform == 'win32':\n    import msvcrt\nelse:\n    import fcntl",
        "os.replace(a, b)",
        "getattr(os, 'O_CLOEXEC', 0)",
        "open('f', 'rb')",
    ],
)
def test_the_check_leaves_fallbacks_alone(source):
    """What has another branch, or a default, is no pitfall."""
    assert not list(footguns(source))
