"""Runs a program in a pseudo-terminal of a given size and reads what it shows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios


def in_terminal(argv: list[str], columns: int, rows: int, timeout: float = 300) -> tuple[int, list[str]]:
    """The exit code and every line shown, redrawn ones as often as they were drawn; no escape sequences."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    environment |= {"TERM": "xterm-256color"}
    child = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=environment, close_fds=True)
    os.close(slave)
    output = bytearray()
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # the child closed the terminal
            break
        if not part:
            break
        output += part
    os.close(master)
    code = child.wait(timeout)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.decode("utf-8", "replace"))
    return code, [line for line in re.split(r"[\r\n]+", text) if line.strip()]
