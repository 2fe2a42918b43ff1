"""A command on a real pseudo-terminal, and the screen that its user would see."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from contextlib import suppress

ROWS = 50
PIECE = re.compile(r"\x1b\[(?P<numbers>[0-9;?]*)(?P<kind>[A-Za-z])|(?P<move>[\r\n])|(?P<text>[^\x1b\r\n]+)")


def run_in_terminal(command, *, columns, timeout=300, **options):
    """Run a command whose standard streams are a terminal of so many columns; return its exit status and all that it wrote."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, **options)
    os.close(theirs)
    written = b""
    with suppress(OSError):  # as Linux tells that nobody has the other end any more
        while block := os.read(ours, 1 << 16):
            written += block
    os.close(ours)
    return process.wait(timeout=timeout), written.decode()


def draw(written):
    """Return the lines that a terminal shows in the end; another control sequence than these few is an error."""
    lines, row, column = [""], 0, 0
    for piece in PIECE.finditer(written):
        if text := piece["text"]:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
        elif piece["move"] == "\r":
            column = 0
        elif piece["move"] == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif piece["kind"] == "A":
            row -= int(piece["numbers"] or 1)
        elif piece["kind"] == "K":
            assert piece["numbers"] == "2"
            lines[row] = ""
        else:
            assert piece["kind"] == "m" or piece["numbers"] == "?25", piece
    return "\n".join(line.rstrip() for line in lines).rstrip().split("\n")
