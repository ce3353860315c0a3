"""Collects the test files of other packages, and what Python reads from them, for
build/tests/pipeline_foreign_peer_test (tools/peers.sh foreign):

    python tools/peers/foreign.py OUT --cpython FOLDER --libarchive SOURCE.tar.xz --pillow SDIST.tar.gz

It writes OUT/tars/NAME.tar with NAME.members (for each regular member: length of the name as uint32, the name, length
of the data as uint64, the data) or NAME.refused (tarfile's error). webdataset ships no tars, so its TarWriter writes
some. It writes OUT/pictures/NAME with NAME.rgb (width and height as uint32, the pixels) or NAME.refused.
"""

import argparse
import binascii
import bz2
import gzip
import io
import lzma
import pathlib
import shutil
import struct
import tarfile
import warnings

import webdataset
from PIL import Image

PICTURES = (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".bmp", ".dib")
PACKED = ((b"\x1f\x8b", gzip.decompress), (b"BZh", bz2.decompress), (b"\xfd7zXZ", lzma.decompress))
MOST = 256 << 20


def unpacked(data):
    for magic, unpack in PACKED:
        if data.startswith(magic):
            return unpack(data)
    return data


def uudecoded(text):
    """Decodes a uuencoded file; some have lines that are longer than necessary."""
    out = bytearray()
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(b"begin "):
            break
    for line in lines:
        if line.startswith(b"end"):
            break
        try:
            out += binascii.a2b_uu(line)
        except binascii.Error:
            out += binascii.a2b_uu(line[:(((line[0] - 32) & 63) * 4 + 5) // 3])
    return bytes(out)


def members(path):
    """The members of a tar that tarfile reads up to its end, also after zeros, as FastCLIP does."""
    out = bytearray()
    with tarfile.open(path, "r:", ignore_zeros=True) as tar:
        for member in tar:
            if not member.isreg():
                continue
            if member.size > MOST:
                raise ValueError(f"{member.name}: {member.size} bytes")
            name = member.name.encode("utf-8", "surrogateescape")
            data = tar.extractfile(member).read()
            if len(data) != member.size:
                raise ValueError(f"{member.name}: truncated")
            out += struct.pack("<I", len(name)) + name + struct.pack("<Q", len(data)) + data
    return bytes(out)


def keep(path, suffix, make):
    """Calls make(PATH). Writes what it returns to PATH + SUFFIX, or its error to PATH + ".refused"."""
    try:
        made = make(path)
    except Exception as error:  # any error of the peer is recorded
        path.with_name(path.name + ".refused").write_text(f"{type(error).__name__}: {error}")
    else:
        path.with_name(path.name + suffix).write_bytes(made)


def tars_of_libarchive(source):
    with tarfile.open(source) as package:
        for member in package:
            name = pathlib.PurePath(member.name)
            if not member.isreg() or name.suffix != ".uu" or "test" not in name.parts:
                continue
            data = package.extractfile(member).read()
            try:
                data = unpacked(uudecoded(data))
            except Exception as error:
                print(f"skipped {name.name}: {error}")
                continue
            looks_like_tar = len(data) >= 512 and (b"ustar" in data[257:263] or ".tar" in name.name)
            if looks_like_tar and not data.startswith((b"\x1f\x9d", b"Rar", b"PK", b"xar!")):
                yield name.stem, data


def tars_of_webdataset():
    picture = Image.new("RGB", (5, 4), (200, 10, 30))
    for name, options in (("plain", {}), ("owned", {"user": "näme", "group": "g" * 40, "mode": 0o600}),
                          ("timed", {"mtime": 2.5e9})):
        out = io.BytesIO()
        with webdataset.TarWriter(out, **options) as writer:
            for i in range(7):
                writer.write({"__key__": f"{'deep/' * (i * 9)}{i:06}.é"[:250 + i] if i else "000000", "jpg": picture,
                              "txt": f"caption {i} ☃", "json": {"key": i, "x": float("nan")}, "cls": i, "seg.png": picture})
        yield f"webdataset-{name}", out.getvalue()


def write_tars(folder, arguments):
    found = [(path.name, unpacked(path.read_bytes())) for path in sorted(arguments.cpython.rglob("*.tar"))]
    found += tars_of_libarchive(arguments.libarchive)
    found += tars_of_webdataset()
    for name, data in found:
        path = folder / f"{name.removesuffix('.tar')}.tar"
        path.write_bytes(data)
        keep(path, ".members", members)


def pixels(path):
    with Image.open(path) as picture:
        if picture.width * picture.height > 50_000_000:
            raise ValueError("over 50 million pixels")
        rgb = picture.convert("RGB")
        return struct.pack("<II", *rgb.size) + rgb.tobytes()


def write_pictures(folder, sdist):
    with tarfile.open(sdist) as package:
        for member in package:
            name = pathlib.PurePath(member.name)
            if not member.isreg() or name.suffix.lower() not in PICTURES or name.parts[1:3] != ("Tests", "images"):
                continue
            path = folder / "-".join(name.parts[3:])
            path.write_bytes(package.extractfile(member).read())
            keep(path, ".rgb", pixels)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--cpython", type=pathlib.Path, required=True)
    parser.add_argument("--libarchive", type=pathlib.Path, required=True)
    parser.add_argument("--pillow", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    shutil.rmtree(arguments.out, ignore_errors=True)
    for kind in ("tars", "pictures"):
        (arguments.out / kind).mkdir(parents=True)
    write_tars(arguments.out / "tars", arguments)
    write_pictures(arguments.out / "pictures", arguments.pillow)


if __name__ == "__main__":
    main()
