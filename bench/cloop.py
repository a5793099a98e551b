"""The C loop that looks are held against: its program's common beginning, which opens what it is told to read, and the compiler."""

from __future__ import annotations

import subprocess
from pathlib import Path

# argv: one word for the loop, then a path, an offset and a length for each read.
OPENING = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
struct one { int fd, length; long offset; };
int main(int argc, char **argv) {
    struct one *reads = calloc(argc, sizeof *reads);
    int n = 0;
    for (int i = 2; i + 2 < argc; i += 3, n++) {
        reads[n].fd = open(argv[i], O_RDONLY);
        reads[n].offset = atol(argv[i + 1]);
        reads[n].length = atoi(argv[i + 2]);
        if (reads[n].fd < 0) return 1;
    }
"""


def built(loop: str, directory: Path) -> Path:
    """The program in *directory*: OPENING, then *loop*, which ends `main`. CalledProcessError if it does not compile."""
    source, program = directory / "loop.c", directory / "loop"
    source.write_text(OPENING + loop)
    subprocess.run(["cc", "-O2", "-o", str(program), str(source)], check=True)
    return program
