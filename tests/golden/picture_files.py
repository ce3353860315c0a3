"""Picture files written out by hand: depths, palettes, layouts and blocks that Pillow does not write."""

import struct
import zlib

import numpy as np


def adobe_at(jpeg):
    return jpeg.index(b"\xff\xee\x00\x0eAdobe")


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(samples, depth, color, extra=b"", interlaced=False):
    """[height, width, channels] samples as they are, with chunks of their own."""
    height, width, channels = samples.shape

    def packed(part):
        raw = b""
        for row_number, row in enumerate(part):
            if depth == 16:
                line = row.astype(">u2").tobytes()
            elif depth == 8:
                line = row.astype(np.uint8).tobytes()
            else:
                bits = np.unpackbits(row.astype(np.uint8).reshape(-1, 1), axis=1)[:, 8 - depth :]
                line = np.packbits(bits.reshape(-1)).tobytes()
            if row_number % 2 == 1:  # filter 2, "up"
                above = np.frombuffer(previous, np.uint8).astype(int)
                now = np.frombuffer(line, np.uint8).astype(int)
                raw += b"\2" + ((now - above) % 256).astype(np.uint8).tobytes()
            else:
                raw += b"\0" + line
            previous = line
        return raw

    if interlaced:
        passes = (samples[y::dy, x::dx] for x, y, dx, dy in ADAM7)
        raw = b"".join(packed(part) for part in passes if part.size)
    else:
        raw = packed(samples)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    data = zlib.compress(raw, 9)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra
            + chunk(b"IDAT", data[:40]) + chunk(b"IDAT", data[40:]) + chunk(b"IEND", b""))


def riff_chunk(kind, data):
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def gif(indices, palette, place=(0, 0), screen=None, local=None, transparent=None, interlaced=False, more=b""):
    """A GIF whose codes are never compressed. `place`: the frame's corner on the screen."""
    height, width = indices.shape
    order = [y for first, step in ((0, 8), (4, 8), (2, 4), (1, 2)) for y in range(first, height, step)]
    bits = max(2, int(indices.max()).bit_length())
    clear, codes = 1 << bits, []
    for number, index in enumerate((indices[order] if interlaced else indices).reshape(-1)):
        codes += [clear] * (number % (clear - 2) == 0) + [int(index)]  # codes never grow
    stream = sum(code << (bits + 1) * place_in for place_in, code in enumerate(codes + [clear + 1]))
    data = stream.to_bytes((len(codes) + 1) * (bits + 1) // 8 + 1, "little")
    blocks = b"".join(bytes([len(data[at : at + 255])]) + data[at : at + 255] for at in range(0, len(data), 255))

    def table(colors):
        size = max(1, (len(colors) // 3 - 1).bit_length())
        return size - 1 | 0x80, colors + bytes((3 << size) - len(colors))

    flags, colors = table(palette) if palette else (0, b"")
    screen_width, screen_height = screen or (width + place[0], height + place[1])
    head = b"GIF89a" + struct.pack("<HHBBB", screen_width, screen_height, flags, 0, 0) + colors
    head += b"!\xfe\6a note\0"
    if transparent is not None:
        head += b"!\xf9\x04\x01\0\0" + bytes([transparent]) + b"\0"
    flags, colors = table(local) if local else (0, b"")
    frame = struct.pack("<HHHHB", *place, width, height, flags | 0x40 * interlaced)
    return head + b"," + frame + colors + bytes([bits]) + blocks + b"\0" + more + b";"


def in_fours(colors):
    return np.insert(np.frombuffer(colors, np.uint8).reshape(-1, 3), 3, 0, 1).tobytes()


def bmp(size, rows, bits, palette=b"", compression=0, masks=b"", header=40, top_down=False, colors=0):
    """`rows` in the order of the file, unpadded, or packed run lengths."""
    if isinstance(rows, list):
        data = b"".join(row + bytes(-len(row) % 4) for row in rows)
    else:
        data = rows
    width, height = size
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, width, -height if top_down else height, 1, bits, compression,
                           len(data), 2835, 2835, colors, 0)
        inside = header - 40
        info += masks[:inside] + bytes(max(0, inside - len(masks))) + masks[inside:]
    at = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", at + len(data), 0, 0, at) + info + palette + data


def packed_rows(indices, depth):
    rows = []
    for row in indices:
        bits = np.unpackbits(row.reshape(-1, 1), axis=1)[:, 8 - depth :]
        rows.append(np.packbits(bits.reshape(-1)).tobytes())
    return rows


def run_lengths(indices, depth):
    """Runs, pixels as they are, a jump to the right, and ends of rows."""
    as_they_are = {8: 6, 4: 8}[depth]
    out = b""
    for number, row in enumerate(indices):
        at = 0
        if number == 3:
            out += b"\0\2\4\0"
            at = 4
        while at < len(row):
            pixels = row[at : at + as_they_are]
            if at % 3 == 0 and len(pixels) == as_they_are:
                out += bytes([0, as_they_are]) + packed_rows(pixels[None], depth)[0]
                at += as_they_are
                continue
            same = int(np.argmin(np.append(row[at:] == row[at], False)))
            out += bytes([same, int(row[at]) << 4 | int(row[at]) if depth == 4 else int(row[at])])
            at += same
        out += b"\0\0"
    return out + b"\0\1"


def exif_of(orientation, order):
    """EXIF with one entry before the orientation; `order`: "<" or ">"."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order]
    entries = struct.pack(order + "HHHIHH", 2, 0x0100, 3, 1, 77, 0) + struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0" + head + struct.pack(order + "I", 8) + entries + bytes(4)


def with_app1(jpeg, block):
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(block)) + block + jpeg[2:]
