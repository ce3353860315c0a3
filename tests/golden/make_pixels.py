"""Makes pixels.json and pixels.safetensors: small synthetic pictures of every kind that the pipeline
reads, with what Pillow makes of them. Needs Pillow 12.2, torchvision, safetensors, and jpegtran (Debian's
libjpeg-turbo-progs) for arithmetic coding:

    python tests/golden/make_pixels.py [FOLDER [PICTURES]]

The files are committed; the script is for the day when a kind is added. With PICTURES, so many or some more
of random sizes, scaled to 224 (tools/peers.sh pixels).
"""

import io
import json
import pathlib
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import PIL
from PIL import Image, ImageOps
from safetensors.numpy import save
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

from picture_files import (adobe_at, bmp, chunk, exif_of, gif, in_fours, packed_rows, png, riff_chunk, run_lengths,
                           with_app1)

SIZE = 12
WIDTH, HEIGHT = 25, 19
BACKGROUND = (255, 128, 0)
random = np.random.default_rng(2024)


def picture(width, height, channels, deep=False):
    """Smooth waves, an edge and noise: chroma, ringing and rounding all show."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    planes = []
    for channel in range(channels):
        wave = np.sin(x / (3.0 + channel)) + np.cos(y / (4.0 + 2 * channel))
        edge = 60.0 * (x > y) * (-1) ** channel
        planes.append(128 + 50 * wave + edge + random.normal(0, 8, wave.shape))
    pixels = np.clip(np.stack(planes, -1), 0, 255)
    if deep:
        return (pixels * 257 + random.integers(-120, 120, pixels.shape)).clip(0, 65535).astype(">u2")
    return pixels.astype(np.uint8)


def saved(image, **options):
    out = io.BytesIO()
    image.save(out, **options)
    return out.getvalue()


def rgb(width=None, height=None):
    return Image.fromarray(picture(width or WIDTH, height or HEIGHT, 3))


def jpegtran(data, *options):
    return subprocess.run(["jpegtran", *options], input=data, capture_output=True, check=True).stdout


def palette_png(depth, trns=b"", interlaced=False, entries=None):
    colors = entries or 2**depth
    palette = random.integers(0, 256, 3 * colors).astype(np.uint8).tobytes()
    extra = chunk(b"PLTE", palette) + (chunk(b"tRNS", trns) if trns else b"")
    return png(random.integers(0, 2**depth, (HEIGHT, WIDTH, 1)), depth, 3, extra, interlaced)


def levels(depth):
    return picture(WIDTH, HEIGHT, 1) >> (8 - depth)


def offset_animation():
    """A WebP whose first frame covers only a part of the canvas."""
    def three(value):
        return struct.pack("<I", value)[:3]
    frame = saved(Image.fromarray(picture(16, 12, 4)), format="WEBP", lossless=True)
    bitstream = frame[frame.index(b"VP8L"):]
    canvas = riff_chunk(b"VP8X", b"\x12\0\0\0" + three(WIDTH - 1) + three(HEIGHT - 1))
    loop = riff_chunk(b"ANIM", b"\x40\x80\xc0\xff\0\0")
    place = three(3) + three(3) + three(15) + three(11) + three(100) + b"\0"
    frames = 2 * riff_chunk(b"ANMF", place + bitstream)
    body = b"WEBP" + canvas + loop + frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def some_colors(count):
    return random.integers(0, 256, 3 * count).astype(np.uint8).tobytes()


def some_indices(count, width=None, height=None):
    return random.integers(0, count, (height or HEIGHT, width or WIDTH)).astype(np.uint8)


def opt_in_files():
    """(name, file) of the kinds that must be asked for: GIF, BMP."""
    colors = some_colors(256)
    quantized = rgb().quantize(200)
    yield "gif", saved(quantized, format="GIF", interlace=0)
    yield "gif_interlaced", saved(quantized, format="GIF", interlace=1)
    yield "gif_grey", saved(Image.fromarray(picture(WIDTH, HEIGHT, 1)[..., 0]), format="GIF")
    yield "gif_2_colors", gif(some_indices(2), some_colors(2))
    yield "gif_short_palette", gif(some_indices(16), some_colors(8))
    yield "gif_without_palette", gif(some_indices(256), b"")
    yield "gif_local_palette", gif(some_indices(64), colors, local=some_colors(64))
    yield "gif_local_grey_ramp", gif(some_indices(8), colors, local=bytes(np.arange(4).repeat(3).astype(np.uint8)))
    yield "gif_transparent", gif(some_indices(16), some_colors(16), transparent=5)
    small = (max(1, WIDTH - 9), max(1, HEIGHT - 7))
    yield "gif_frame_inside", gif(some_indices(16, *small), some_colors(16), (4, 5), (WIDTH, HEIGHT))
    yield "gif_frame_inside_transparent", gif(some_indices(16, *small), some_colors(16), (4, 5), (WIDTH, HEIGHT),
                                              transparent=3, interlaced=True)
    yield "gif_frame_outside", gif(some_indices(32), some_colors(32), (3, 2), (WIDTH - 2, HEIGHT - 2))
    second = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\1\x2c\0"
    yield "gif_animation", gif(some_indices(16), some_colors(16), more=second)
    yield "gif_without_end", gif(some_indices(16), some_colors(16))[:-2]

    pixels, size = picture(WIDTH, HEIGHT, 4), (WIDTH, HEIGHT)
    for depth in (1, 4, 8):
        rows = packed_rows(some_indices(2**depth), depth)
        yield f"bmp_{depth}", bmp(size, rows, depth, in_fours(some_colors(2**depth)))
        yield f"bmp_{depth}_core_header", bmp(size, rows, depth, some_colors(2**depth), header=12)
        yield f"bmp_{depth}_top_down", bmp(size, rows, depth, in_fours(some_colors(2**depth)), top_down=True)
    yield "bmp_8_short_palette", bmp(size, packed_rows(some_indices(256), 8), 8, in_fours(some_colors(40)), colors=40)
    ramp = np.arange(256).repeat(3).astype(np.uint8).tobytes()
    yield "bmp_grey", bmp(size, packed_rows(some_indices(256), 8), 8, in_fours(ramp))
    words = random.integers(0, 65536, (HEIGHT, WIDTH)).astype("<u2")
    word_rows = [row.tobytes() for row in words]
    yield "bmp_16", bmp(size, word_rows, 16)
    yield "bmp_16_565", bmp(size, word_rows, 16, compression=3, masks=struct.pack("<3I", 0xF800, 0x7E0, 0x1F))
    yield "bmp_16_555_v4", bmp(size, word_rows, 16, compression=3, masks=struct.pack("<3I", 0x7C00, 0x3E0, 0x1F), header=108)
    yield "bmp_24", bmp(size, [row.tobytes() for row in pixels[..., :3]], 24)
    yield "bmp_24_top_down", bmp(size, [row.tobytes() for row in pixels[..., :3]], 24, top_down=True)
    yield "bmp_24_v5", bmp(size, [row.tobytes() for row in pixels[..., :3]], 24, header=124)
    full = [row.tobytes() for row in pixels]
    yield "bmp_32", bmp(size, full, 32)
    for name, masks in {"bgrx": (0xFF0000, 0xFF00, 0xFF, 0), "xbgr": (0xFF000000, 0xFF0000, 0xFF00, 0),
                        "bgxr": (0xFF000000, 0xFF00, 0xFF, 0), "abgr_alpha": (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
                        "rgba_alpha": (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
                        "bgra_alpha": (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
                        "zeros_alpha": (0, 0, 0, 0)}.items():
        yield f"bmp_32_{name}", bmp(size, full, 32, compression=3, masks=struct.pack("<4I", *masks), header=56)
    for depth in (4, 8):
        runs = np.sort(some_indices(2**depth), axis=1) // 3 * 3
        yield f"bmp_runs_{depth}", bmp(size, run_lengths(runs, depth), depth, in_fours(some_colors(2**depth)), {8: 1, 4: 2}[depth])


def exif_files():
    """(name, file) of pictures that are turned where that is asked for."""
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"exif_jpeg_{orientation}", saved(rgb(), format="JPEG", quality=90, exif=exif)
    yield "exif_png_6", saved(rgb(), format="PNG", exif=exif_of(6, ">"))
    yield "exif_png_8_transparent", saved(Image.fromarray(picture(WIDTH, HEIGHT, 4)), format="PNG", exif=exif_of(8, "<"))
    yield "exif_webp_5", saved(rgb(), format="WEBP", lossless=True, exif=exif_of(5, "<"))
    for name, block in {"not_tiff": b"Exif\0\0nothing of the kind", "no_entries": exif_of(6, "<")[:14],
                        "cut": exif_of(6, "<")[:-9], "value_9": exif_of(9, ">"), "value_0": exif_of(0, "<"),
                        "far_directory": b"Exif\0\0II*\0\xff\xff\xff\xff"}.items():
        yield f"exif_broken_{name}", with_app1(saved(rgb(), format="JPEG", quality=90), block)


def files():
    """(name, file) of every case."""
    for name, options in {
        "jpeg_420": {"subsampling": 2}, "jpeg_422": {"subsampling": 1}, "jpeg_444": {"subsampling": 0},
        "jpeg_low_quality": {"quality": 12}, "jpeg_progressive": {"progressive": True},
        "jpeg_restarts": {"restart_marker_blocks": 2}, "jpeg_rgb": {"keep_rgb": True},
    }.items():
        yield name, saved(rgb(), format="JPEG", **({"quality": 90} | options))
    base = saved(rgb(), format="JPEG", quality=92)
    yield "jpeg_arithmetic", jpegtran(base, "-arithmetic")
    yield "jpeg_arithmetic_progressive", jpegtran(base, "-arithmetic", "-progressive")
    yield "jpeg_trailing_bytes", base + b"more than a picture"
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "jpeg_rotated_by_exif", saved(rgb(), format="JPEG", exif=exif)
    grey = Image.fromarray(picture(WIDTH, HEIGHT, 1)[..., 0])
    yield "jpeg_grey", saved(grey, format="JPEG", quality=90)
    yield "jpeg_grey_progressive", saved(grey, format="JPEG", quality=90, progressive=True)
    cmyk = saved(Image.fromarray(picture(WIDTH, HEIGHT, 4), "CMYK"), format="JPEG", quality=90)
    yield "jpeg_cmyk", cmyk
    at = adobe_at(cmyk)
    yield "jpeg_ycck", cmyk[: at + 15] + b"\2" + cmyk[at + 16 :]
    yield "jpeg_cmyk_without_adobe", cmyk[:at] + cmyk[at + 16 :]

    for depth in (1, 2, 4, 8):
        yield f"png_grey{depth}", png(levels(depth), depth, 0)
        yield f"png_palette{depth}", palette_png(depth)
    deep = picture(WIDTH, HEIGHT, 1, deep=True)
    yield "png_grey16", png(deep, 16, 0)
    yield "png_grey16_dark", png(deep // 150, 16, 0)
    yield "png_grey16_interlaced", png(deep // 100, 16, 0, interlaced=True)
    yield "png_grey_alpha8", png(picture(WIDTH, HEIGHT, 2), 8, 4)
    yield "png_grey_alpha16", png(picture(WIDTH, HEIGHT, 2, deep=True), 16, 4)
    yield "png_rgb8", png(picture(WIDTH, HEIGHT, 3), 8, 2)
    yield "png_rgb8_interlaced", png(picture(WIDTH, HEIGHT, 3), 8, 2, interlaced=True)
    yield "png_rgb16", png(picture(WIDTH, HEIGHT, 3, deep=True), 16, 2)
    yield "png_rgba8", png(picture(WIDTH, HEIGHT, 4), 8, 6)
    yield "png_rgba16", png(picture(WIDTH, HEIGHT, 4, deep=True), 16, 6)
    yield "png_rgba16_interlaced", png(picture(WIDTH, HEIGHT, 4, deep=True), 16, 6, interlaced=True)
    yield "png_bilevel_interlaced", png(levels(1), 1, 0, interlaced=True)
    yield "png_palette4_interlaced", palette_png(4, interlaced=True)
    yield "png_palette_transparent", palette_png(4, bytes(range(0, 256, 17)))
    yield "png_palette2_transparent", palette_png(2, b"\x00\x80")
    yield "png_palette_short", palette_png(4, entries=11)
    few = levels(3)
    yield "png_grey_key", png(few, 8, 0, chunk(b"tRNS", struct.pack(">H", 4)))
    flat = np.repeat(few, 3, axis=2)
    yield "png_rgb_key", png(flat, 8, 2, chunk(b"tRNS", struct.pack(">3H", 4, 4, 4)))
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no profile")) + chunk(b"gAMA", struct.pack(">I", 100000))
    whole = png(picture(WIDTH, HEIGHT, 3), 8, 2, profile)
    yield "png_bad_profile_and_gamma", whole
    yield "png_without_end", whole[:-12]
    yield "png_cut_in_the_last_check_sum", whole[:-14]
    flipped = bytearray(whole)
    flipped[-13] ^= 1  # IDAT's CRC
    yield "png_wrong_data_crc", bytes(flipped)

    yield "webp_lossy", saved(rgb(), format="WEBP", quality=80)
    yield "webp_lossless", saved(rgb(), format="WEBP", lossless=True)
    alpha = Image.fromarray(picture(WIDTH, HEIGHT, 4))
    yield "webp_lossy_alpha", saved(alpha, format="WEBP", quality=80)
    yield "webp_lossless_alpha", saved(alpha, format="WEBP", lossless=True, exact=True)
    frames = [rgb() for _ in range(2)]
    yield "webp_animation", saved(frames[0], format="WEBP", save_all=True, append_images=frames[1:], lossless=True)
    yield "webp_animation_offset", offset_animation()

    yield "tall", saved(rgb(9, 150), format="PNG")
    yield "wide", saved(rgb(150, 9), format="PNG")
    yield "upscale", saved(rgb(7, 5), format="PNG")
    yield "one_pixel", saved(rgb(1, 1), format="PNG")
    yield "one_column", saved(rgb(1, 40), format="PNG")
    yield "evaluation_size", saved(rgb(SIZE, SIZE + 7), format="PNG")

    yield from opt_in_files()
    yield from exif_files()


def rounds(pictures):
    """The files, again and again with other sizes, until there are enough."""
    global SIZE, WIDTH, HEIGHT
    if pictures == 0:
        yield from files()
        return
    SIZE = 224
    made = 0
    while made < pictures:
        WIDTH, HEIGHT = (int(side) for side in random.integers(24, 240, 2))  # an animation needs 24
        for name, data in files():
            yield f"{made}_{name}", data
            made += 1


def main(folder, pictures):
    warnings.simplefilter("ignore")
    cases, tensors = [], {}
    for name, data in rounds(pictures):
        original = Image.open(io.BytesIO(data))
        mode, kind = original.mode, original.format
        turned = "exif_" in name
        if turned:
            original = ImageOps.exif_transpose(original)
        image = original.convert("RGB")
        width, height = image.size
        crops = []
        for _ in range(2):
            h, w = (int(random.integers(max(1, side // 2), side + 1)) for side in (height, width))
            crops.append([int(random.integers(0, height - h + 1)), int(random.integers(0, width - w + 1)), h, w])
        case = {"name": name, "width": width, "height": height, "size": SIZE,
                "crops_top_left_height_width": crops, "mode": mode, "format": kind}
        if turned:
            case["exif_rotate"] = True
        tensors[f"{name}/file"] = np.frombuffer(data, np.uint8)
        tensors[f"{name}/rgb"] = np.asarray(image)
        short = transforms.resize(image, SIZE, InterpolationMode.BICUBIC)
        tensors[f"{name}/eval{SIZE}"] = np.asarray(transforms.center_crop(short, [SIZE, SIZE]))
        for number, (top, left, h, w) in enumerate(crops):
            crop = transforms.resized_crop(image, top, left, h, w, [SIZE, SIZE], InterpolationMode.BICUBIC)
            tensors[f"{name}/crop{number}_{SIZE}"] = np.asarray(crop)
        if "A" in original.getbands() or "transparency" in original.info or "alpha" in name:
            over = Image.new("RGB", image.size, BACKGROUND)
            full = original.convert("RGBA")
            over.paste(full, mask=full)
            tensors[f"{name}/over"] = np.asarray(over)
            case["background"] = list(BACKGROUND)
        cases.append(case)
    meaning = (f"Pillow {PIL.__version__}: rgb = convert('RGB'), eval = Resize(shorter side, bicubic) + CenterCrop, "
               "cropK = resized_crop of the given box, bicubic; over = RGBA pasted over the background; uint8 HWC")
    (folder / "pixels.json").write_text(json.dumps({"meaning": meaning, "cases": cases}) + "\n")
    packed = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    (folder / "pixels.safetensors").write_bytes(save(packed))
    print(f"{len(cases)} cases")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent),
         int(sys.argv[2]) if len(sys.argv) > 2 else 0)
