"""Mutations along the structure of each format: (bytes, whether rows of the picture are surely missing)."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from random import Random

from fuzz.seeds import chunk

Mutated = tuple[bytes, bool]
NUMBERS = (0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 255, 256, 4095, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)


def mutated(kind: str, data: bytes, random: Random) -> Mutated:
    """One to three changes, most of them to the structure. What is missing is sure after a single change alone."""
    lacking = False
    for number in range(random.choice((1, 1, 1, 2, 3))):
        change = random.choice((*BY_KIND[kind] * 2, flipped, spliced, cut))
        try:
            data, lacks = change(data, random)
        except (struct.error, LookupError, ValueError, zlib.error):  # an earlier change left no such structure
            continue
        lacking = lacks and number == 0
    return data, lacking


# ---- any file


def flipped(data: bytes, random: Random) -> Mutated:
    changed = bytearray(data)
    for _ in range(random.choice((1, 2, 8))):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed), False


def spliced(data: bytes, random: Random) -> Mutated:
    start, length = random.randrange(len(data)), random.choice((1, 2, 16, 300))
    stretch = data[start : start + length]
    put = random.choice((b"", bytes(length), b"\xff" * length, random.randbytes(length), stretch * 2))
    return data[:start] + put + data[start + length * random.randrange(2) :], False


def cut(data: bytes, random: Random) -> Mutated:
    return data[: random.randrange(1, len(data))], False


# ---- PNG


def _png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        found.append((name, data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def _png_file(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def png_rows_missing(data: bytes, random: Random) -> Mutated:
    """A sound stream with right checksums that holds fewer rows than the header says."""
    chunks = _png_chunks(data)
    rows = zlib.decompress(b"".join(content for name, content in chunks if name == b"IDAT"))
    kept = zlib.compress(rows[: random.randrange(0, len(rows))])
    others = [one for one in chunks if one[0] != b"IDAT"]
    return _png_file([*others[:-1], (b"IDAT", kept), others[-1]]), True


def png_stream_cut(data: bytes, random: Random) -> Mutated:
    chunks = _png_chunks(data)
    stream = b"".join(content for name, content in chunks if name == b"IDAT")
    others = [one for one in chunks if one[0] != b"IDAT"]
    kept = stream[: random.randrange(0, max(1, len(stream) - 8))]  # more than the checksum and a bit is missing
    return _png_file([*others[:-1], (b"IDAT", kept), others[-1]]), len(stream) > 40 and len(kept) < len(stream) // 2


def png_more_rows(data: bytes, random: Random) -> Mutated:
    height = struct.unpack_from(">I", data, 20)[0]
    return _png_header(data, 20, struct.pack(">I", height + random.choice((1, 2, 100)))), True


def png_number(data: bytes, random: Random) -> Mutated:
    at = random.choice((16, 20))
    return _png_header(data, at, struct.pack(">I", random.choice(NUMBERS))), False


def png_kind(data: bytes, random: Random) -> Mutated:
    return _png_header(data, random.randrange(24, 29), bytes([random.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))])), False


def _png_header(data: bytes, at: int, put: bytes) -> bytes:
    head = data[16:at] + put + data[at + len(put) : 29]
    return data[:8] + chunk(b"IHDR", head) + data[33:]


def png_chunks(data: bytes, random: Random) -> Mutated:
    chunks = _png_chunks(data)
    one = random.randrange(len(chunks))
    what = random.randrange(5)
    if what == 0:
        del chunks[one]
    elif what == 1:
        chunks.insert(one, chunks[random.randrange(len(chunks))])
    elif what == 2:
        random.shuffle(chunks)
    elif what == 3:
        name = random.choice((b"tRNS", b"PLTE", b"eXIf", b"acTL", b"iCCP", b"zTXt", b"fcTL", b"gAMA"))
        chunks.insert(random.randrange(len(chunks)), (name, random.randbytes(random.choice((0, 1, 2, 4, 6, 8, 100)))))
    else:
        chunks[one:one] = [(b"tEXt", b"")] * random.choice((10, 1000))
    return _png_file(chunks), False


# ---- JPEG


def _scan(data: bytes) -> tuple[int, int]:
    """Where the data of the last scan start and end."""
    at = data.rfind(b"\xff\xda")
    start = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
    end = re.compile(rb"\xff[^\0\xd0-\xd7\xff]").search(data, start)
    return start, end.start() if end else len(data)


def _frame(data: bytes) -> int:
    """Where the frame header stands."""
    found = re.search(rb"\xff[\xc0-\xc2]\0", data)
    if found is None:
        raise ValueError("no frame header")
    return found.start()


def jpeg_scan_cut(data: bytes, random: Random) -> Mutated:
    """An end marker where more than a block is still to come."""
    start, end = _scan(data)
    kept = random.randrange(start, end)
    surely = end - kept > 200 and b"\xff\xc2" not in data  # what is left out of a progressive scan may be nothing
    return data[:kept].rstrip(b"\xff") + data[end:], surely


def jpeg_scan_zero(data: bytes, random: Random) -> Mutated:
    start, end = _scan(data)
    first = random.randrange(start, end)
    length = random.choice((20, 300, end - first))
    return data[:first] + bytes(min(length, end - first)) + data[first + min(length, end - first) :], False


def jpeg_more_rows(data: bytes, random: Random) -> Mutated:
    at = _frame(data)
    height = struct.unpack_from(">H", data, at + 5)[0] + random.choice((16, 32, 1000))
    return data[: at + 5] + struct.pack(">H", height) + data[at + 7 :], True


def jpeg_frame(data: bytes, random: Random) -> Mutated:
    place = _frame(data) + random.choice((1, 4, 5, 6, 7, 8, 9, 10, 11, 12))
    return data[:place] + bytes([random.choice((0, 1, 2, 3, 4, 0x11, 0x22, 0x44, 0xC3, 0xC9, 255))]) + data[
        place + 1 :
    ], False


def jpeg_segments(data: bytes, random: Random) -> Mutated:
    """A segment left out, doubled, moved or put in."""
    parts, at = [], 2
    while data[at + 1] != 0xDA:
        length = struct.unpack_from(">H", data, at + 2)[0]
        parts.append(data[at : at + 2 + length])
        at += 2 + length
    one = random.randrange(len(parts))
    what = random.randrange(4)
    if what == 0:
        del parts[one]
    elif what == 1:
        parts.insert(one, random.choice(parts))
    elif what == 2:
        random.shuffle(parts)
    else:
        marker = random.choice((0xDD, 0xE1, 0xE2, 0xEE, 0xFE, 0xDC, 0xC4, 0xDB, 0x01, 0xFF))
        content = random.randbytes(random.choice((0, 2, 4, 64)))
        parts.insert(one, bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content)
    return data[:2] + b"".join(parts) + data[at:], False


def jpeg_restart(data: bytes, random: Random) -> Mutated:
    """A restart marker, which hides how many blocks there are."""
    start, end = _scan(data)
    at = random.randrange(start, end)
    return data[:at].rstrip(b"\xff") + bytes((0xFF, 0xD0 + random.randrange(8))) + data[
        random.randrange(at, end) :
    ], False


# ---- TIFF


def _tiff_entries(data: bytes) -> tuple[str, int, int, list[int]]:
    """(byte order, bytes of an offset, where the number of entries stands, where each entry stands)."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    (at,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)
    (count,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, at)
    size, first = (20, at + 8) if big else (12, at + 2)
    return order, 8 if big else 4, at, [first + size * number for number in range(min(count, 100))]


def _tiff_entry(data: bytes, tags: set[int]) -> tuple[str, int, int]:
    order, wide, _, entries = _tiff_entries(data)
    found = [at for at in entries if struct.unpack_from(f"{order}H", data, at)[0] in tags]
    return order, wide, found[0]


def _put(data: bytes, at: int, form: str, *values: int) -> bytes:
    put = struct.pack(form, *values)
    return data[:at] + put + data[at + len(put) :]


def tiff_pieces_missing(data: bytes, random: Random) -> Mutated:
    """The first strip or tile at offset 0, or with length 0, or a table of fewer of them."""
    table = random.choice(({273, 324}, {279, 325}))
    order, wide, at = _tiff_entry(data, table)
    kind, number = struct.unpack_from(f"{order}H{'Q' if wide == 8 else 'I'}", data, at + 2)
    if number > 1 and random.random() < 0.5:
        return _put(data, at + 4, order + ("Q" if wide == 8 else "I"), number - 1), True
    form = {3: "H", 4: "I", 16: "Q"}[kind]
    value = at + 4 + wide
    if number * struct.calcsize(form) > wide:
        (value,) = struct.unpack_from(order + ("Q" if wide == 8 else "I"), data, value)
    return _put(data, value, order + form, 0), True


def tiff_no_lengths(data: bytes, random: Random) -> Mutated:
    order, _, at = _tiff_entry(data, {279, 325})
    return _put(data, at, f"{order}H", 40000), False


def tiff_more_rows(data: bytes, random: Random) -> Mutated:
    """More rows than its strips have; one strip for all of them may hold any number, unless it is not compressed."""
    order, wide, at = _tiff_entry(data, {257})
    value = at + 4 + wide
    kind = struct.unpack_from(f"{order}H", data, at + 2)[0]
    form = order + {3: "H", 4: "I"}[kind]
    (height,) = struct.unpack_from(form, data, value)
    return _put(data, value, form, height + random.choice((100, 1000))), True


def tiff_entry(data: bytes, random: Random) -> Mutated:
    """The type, the number or the value of any tag."""
    order, wide, _, entries = _tiff_entries(data)
    at, offset = random.choice(entries), "Q" if wide == 8 else "I"
    where, form = random.choice(((0, "H"), (2, "H"), (4, offset), (4 + wide, offset), (4 + wide, "H")))
    value = random.choice(NUMBERS) & (2 ** (8 * struct.calcsize("<" + form)) - 1)
    return _put(data, at + where, order + form, value), False


def tiff_next(data: bytes, random: Random) -> Mutated:
    """A next page where there is none, or one that is the page itself."""
    order, wide, start, entries = _tiff_entries(data)
    behind = entries[-1] + (20 if wide == 8 else 12)
    there = random.choice((start, 8, len(data), 2**31, random.randrange(len(data))))
    return _put(data, behind, order + ("Q" if wide == 8 else "I"), there), False


def tiff_last_byte(data: bytes, random: Random) -> Mutated:
    return data[:-1], False


# ---- WebP, BMP, netpbm


def webp_cut(data: bytes, random: Random) -> Mutated:
    """The picture's chunk cut, with all lengths as if it were whole."""
    at = max(data.find(b"VP8 "), data.find(b"VP8L"))
    length = struct.unpack_from("<I", data, at + 4)[0]
    kept = random.randrange(10, length) & ~1
    body = data[12:at] + data[at : at + 4] + struct.pack("<I", kept) + data[at + 8 : at + 8 + kept]
    frame = data.find(b"ANMF")
    if frame >= 0:
        body = _put(body, frame - 12 + 4, "<I", len(body) - (frame - 12) - 8)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body, kept < length * 0.9


def webp_number(data: bytes, random: Random) -> Mutated:
    at = 12 + random.randrange(min(40, len(data) - 16))
    return _put(data, at, "<H", random.choice(NUMBERS) & 0xFFFF), False


def webp_chunk(data: bytes, random: Random) -> Mutated:
    name = random.choice((b"EXIF", b"XMP ", b"ICCP", b"ANIM", b"ANMF", b"ALPH", b"VP8X", b"VP8L", b"VP8 "))
    content = random.randbytes(random.choice((0, 2, 10, 16)))
    put = (name + struct.pack("<I", len(content)) + content) * random.choice((1, 1, 500))
    at = random.choice((12, len(data)))
    whole = data[:at] + put + data[at:]
    return _put(whole, 4, "<I", len(whole) - 8), False


def bmp_more_rows(data: bytes, random: Random) -> Mutated:
    core = data[14:18] == b"\x0c\0\0\0"
    at = (20 if core else 22) - (14 if data[:2] != b"BM" else 0)
    form = "<H" if core else "<i"
    height = struct.unpack_from(form, data, at)[0]
    return _put(data, at, form, height + random.choice((1, 2, 500))), True


def bmp_number(data: bytes, random: Random) -> Mutated:
    at = random.randrange(2, 60)
    return _put(data, at, random.choice(("<H", "<I")), random.choice(NUMBERS) & 0xFFFF), False


def bmp_cut(data: bytes, random: Random) -> Mutated:
    return data[: random.randrange(100, len(data))] if len(data) > 200 else data[:-1], True


def netpbm_number(data: bytes, random: Random) -> Mutated:
    fields = list(re.finditer(rb"\d+", data[:40]))[1:4]
    one = random.choice(fields)
    return data[: one.start()] + b"%d" % random.choice(NUMBERS) + data[one.end() :], False


def netpbm_more_rows(data: bytes, random: Random) -> Mutated:
    one = re.search(rb"\d+ (\d+)\s", data)
    if one is None:
        raise ValueError("no header")
    return data[: one.start(1)] + b"%d" % (int(one[1]) + random.choice((1, 300))) + data[one.end(1) :], True


BY_KIND: dict[str, tuple[Callable[[bytes, Random], Mutated], ...]] = {
    "png": (png_rows_missing, png_stream_cut, png_more_rows, png_number, png_kind, png_chunks),
    "jpeg": (jpeg_scan_cut, jpeg_scan_zero, jpeg_more_rows, jpeg_frame, jpeg_segments, jpeg_restart),
    "tiff": (tiff_pieces_missing, tiff_no_lengths, tiff_more_rows, tiff_entry, tiff_next, tiff_last_byte),
    "webp": (webp_cut, webp_number, webp_chunk),
    "bmp": (bmp_more_rows, bmp_number, bmp_cut),
    "netpbm": (netpbm_number, netpbm_more_rows),
}
