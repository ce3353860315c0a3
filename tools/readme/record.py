#!/usr/bin/env python3
"""Runs commands in a terminal of its own and writes what was seen as an SVG, animated or the last screen alone.

usage: record.py OUT.svg [--columns 100] [--rows 24] [--seconds 20] [--still] [--environment NAME=VALUE …] -- 'COMMAND' …
  --seconds   length of the animation: the real times are scaled to it
  --still     the last screen alone
example: tools/readme/record.py tools/readme/quickstart.svg -- 'build/fastclip train configs/quickstart.toml run=runs/recorded'
"""

import argparse
import fcntl
import html
import os
import pty
import re
import struct
import sys
import termios
import time

COLOURS = {"31": "#f2777a", "32": "#99cc99", "33": "#ffcc66"}
WIDTH, HEIGHT, MARGIN = 8.4, 18, 12  # of a character, in pixels; of the picture
FRAMES = 60


class Screen:
    """As much of a terminal as the program uses: text, line breaks, \\r, erase to the end of the line, colours."""

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.lines, self.row, self.column, self.colour = [[]], 0, 0, None

    def put(self, character):
        if self.column == self.columns:
            self.new_line()
        line = self.lines[self.row]
        line.extend([(" ", None)] * (self.column + 1 - len(line)))
        line[self.column] = (character, self.colour)
        self.column += 1

    def new_line(self):
        self.row, self.column = self.row + 1, 0
        if self.row == len(self.lines):
            self.lines.append([])

    def feed(self, text):
        for part in re.findall(r"\033\[[0-9;]*[A-Za-z]|.", text, re.DOTALL):
            if part == "\n":
                self.new_line()
            elif part == "\r":
                self.column = 0
            elif part.endswith("K") and part[0] == "\033":
                del self.lines[self.row][self.column:]
            elif part.endswith("m") and part[0] == "\033":
                self.colour = COLOURS.get(part[2:-1])
            elif part >= " ":
                self.put(part)

    def seen(self):
        """The lines in view, each a tuple of runs (text, colour)."""
        seen = []
        for line in self.lines[-self.rows:]:
            runs = []
            for character, colour in line:
                if runs and runs[-1][1] == colour:
                    runs[-1][0].append(character)
                else:
                    runs.append(([character], colour))
            seen.append(tuple(("".join(text), colour) for text, colour in runs))
        return tuple(seen)


def run(command, screen, size, environment):
    """Yields the time after each piece of output."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(environment)
        os.execvp("bash", ["bash", "-c", command])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    rest = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            piece = b""
        if not piece:
            break
        rest += piece
        text = rest.decode("utf-8", "ignore")
        if len(text.encode()) < len(rest) - 3:
            text = rest.decode("utf-8", "replace")
        rest = rest[len(text.encode()):]
        screen.feed(text)
        yield time.monotonic()
    os.waitpid(child, 0)


def text_of(lines):
    out = []
    for number, line in enumerate(lines):
        if not line:
            continue
        spans = "".join(
            f'<tspan fill="{colour}">{html.escape(text)}</tspan>' if colour else html.escape(text) for text, colour in line)
        out.append(f'<text x="{MARGIN}" y="{MARGIN + HEIGHT * (number + 1) - 5}">{spans}</text>')
    return "".join(out)


def svg(frames, columns, rows, seconds):
    """`frames`: (share of the time at which it appears, lines)."""
    wide, high = columns * WIDTH + 2 * MARGIN, rows * HEIGHT + 2 * MARGIN
    style = "text{font:14px 'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#dddddd;white-space:pre}"
    if len(frames) > 1:
        style += "g.f{visibility:hidden}g.f:last-of-type{visibility:visible}@media(prefers-reduced-motion:no-preference){g.f:last-of-type{visibility:hidden}"
        for number, (at, _) in enumerate(frames):
            until = frames[number + 1][0] if number + 1 < len(frames) else 1.0
            style += f"@keyframes k{number}{{0%,{100 * at:.2f}%{{visibility:hidden}}{100 * at + .01:.2f}%,{100 * until:.2f}%{{visibility:visible}}"
            style += "}" if until == 1.0 else f"{100 * until + .01:.2f}%,100%{{visibility:hidden}}}}"
            style += f"#f{number}{{animation:k{number} {seconds}s infinite step-end}}"
        style += "}"
    groups = "".join(f'<g class="f" id="f{n}">{text_of(lines)}</g>' for n, (_, lines) in enumerate(frames))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.0f} {high:.0f}" width="{wide:.0f}" height="{high:.0f}">'
            f'<style>{style}</style><rect width="100%" height="100%" rx="8" fill="#1d1f21"/>{groups}</svg>\n')


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].rstrip(), add_help=True)
    parser.add_argument("out")
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--still", action="store_true")
    parser.add_argument("--environment", action="append", default=[])
    parser.add_argument("commands", nargs="+")
    options = parser.parse_args()
    screen = Screen(options.columns, options.rows)
    environment = {"TERM": "xterm-256color", **dict(word.split("=", 1) for word in options.environment)}
    seen, start = [(0.0, screen.seen())], time.monotonic()
    for command in options.commands:
        screen.feed(f"$ {command}\n")
        for at in run(command, screen, (options.columns, options.rows), environment):
            if screen.seen() != seen[-1][1]:
                seen.append((at - start, screen.seen()))
    if options.still:
        frames = [(0.0, seen[-1][1])]
    else:
        # The last screen stays for a sixth of the time; of what changes often some frames are enough.
        length = max(seen[-1][0], 1e-6) * 1.2
        frames, last = [], -1.0
        for number, (at, lines) in enumerate(seen):
            final = number == len(seen) - 1
            if final or at / length - last >= 1 / FRAMES:
                frames.append((at / length, lines))
                last = at / length
    with open(options.out, "w", encoding="utf-8") as out:
        out.write(svg(frames, options.columns, options.rows, options.seconds))
    print(f"{options.out}: {len(frames)} frames, {os.path.getsize(options.out)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
