"""Starts confined programs for one mlopsctl, one after the other, each in a fork of this small process: ``spawn.main(SOCKET)``.

Starting Python takes ten times as long as confining a program. Nothing else runs in this process, and it has one thread, so
that a fork of it is like a Python that has just started. What is asked comes through the socket as words without a zero byte:

    start FOLDER COUNT NAME=VALUE… REQUEST… PROGRAM ARGUMENT…    with the descriptors of stdin, stdout and stderr
    reap PID                                                    once it has ended

REQUEST is that of ``confine``, whose parent is this process. Answers are numbers: the process or minus an errno; how it ended,
its processor time in seconds and its peak of memory in KiB. When the socket closes, because mlopsctl ended in whatever way, the
groups of all programs that still run are killed.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys

import confine  # type: ignore[import-not-found, unused-ignore]  # it lies beside this file, on the path of this process

_SIGKILL, _SIGPIPE, _SIGXFSZ, _SIG_DFL = 9, 13, 25, 0
STARTED, REAPED = "=q", "=qdq"


def main(descriptor: int) -> None:
    """Serves until the other end of the socket is closed."""
    link = socket.socket(fileno=descriptor)
    running: set[int] = set()
    while message := _take(link):
        words, handles = message
        if words[0] == "start":
            number = _start(words[1:], handles, link)
            if number > 0:
                running.add(number)
            answer = struct.pack(STARTED, number)
        else:
            _, status, usage = os.wait4(int(words[1]), 0)
            running.discard(int(words[1]))
            answer = struct.pack(REAPED, status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
        with contextlib.suppress(OSError):
            link.sendall(answer)
    for group in running:
        # The program itself ends with this process; what it started does not.
        with contextlib.suppress(OSError):
            os.killpg(group, _SIGKILL)
    os._exit(0)


def _take(link: socket.socket) -> tuple[list[str], list[int]] | None:
    """The next request with its descriptors; None at the end."""
    try:
        # Not recv_fds, which takes no notice of flags: programs would inherit the descriptors under these numbers too.
        head, given, _, _ = link.recvmsg(4, socket.CMSG_LEN(3 * 4), socket.MSG_WAITALL | socket.MSG_CMSG_CLOEXEC)
        handles = [handle for _, _, data in given for (handle,) in struct.iter_unpack("=i", data)]
        left = int.from_bytes(head, "little")
        body = b""
        while len(head) == 4 and left > len(body):
            more = link.recv(left - len(body))
            if not more:
                return None
            body += more
    except OSError:
        return None
    return (os.fsdecode(body).split("\0"), handles) if body else None


def _start(words: list[str], handles: list[int], link: socket.socket) -> int:
    ready, tell = os.pipe()
    try:
        number = os.fork()
    except OSError as error:
        number = -int(error.errno or 1)
    if number == 0:
        try:
            link.close()
            os.setsid()
            os.close(tell)
            _become(words, handles)
        except SystemExit as ended:
            os._exit(int(ended.code or 0))
        except BaseException as error:  # noqa: BLE001 - nothing may go on as if it were the parent
            os.write(2, f"{type(error).__name__}: {error}\n".encode(errors="replace"))
        finally:
            sys.stderr.flush()
            os._exit(126)
    os.close(tell)
    os.read(ready, 1)  # comes back once the program has a group of its own, which can be killed
    for handle in (ready, *handles):
        os.close(handle)
    return number


def _become(words: list[str], handles: list[int]) -> None:
    for place, handle in enumerate(handles):
        os.dup2(handle, place)
    for number in (_SIGPIPE, _SIGXFSZ):  # Python ignores them; a program expects them as they are by default
        confine._LIBC.signal(number, _SIG_DFL)
    folder, count, rest = words[0], int(words[1]), words[2:]
    os.environ.clear()
    for name, _, value in (item.partition("=") for item in rest[:count]):
        os.environ[name] = value
    os.chdir(folder)
    confine.become(rest[count:])
