"""What an image file says of itself: format, size, depth, orientation; and its pixels, exactly as stored.

The rules, one per trap. What they do not cover is an `ImageError`, never a guess.

| in the file                              | here                                                                      |
|------------------------------------------|---------------------------------------------------------------------------|
| 8-bit grey or RGB                        | as stored                                                                 |
| 9- to 16-bit grey (PNG, TIFF, PGM)       | uint16, as stored: a 12-bit TIFF or PGM stays 0..4095 (set `image.white`) |
| 1-, 2- and 4-bit grey                    | uint8, spread over 0..255                                                 |
| grey stored as "white is zero" (TIFF)    | inverted, as the TIFF standard says                                       |
| palette                                  | RGB                                                                       |
| alpha, transparent colours               | dropped with a note where it is opaque everywhere, `unsupported_mode` else|
| 16-bit colour, CMYK, LAB, YCbCr, float,  | `unsupported_mode`                                                        |
| signed or 32-bit integers, extra samples |                                                                           |
| several frames or pages                  | `several_frames`                                                          |
| a page with smaller versions (TIFF)      | the page, with a note                                                     |
| JPEG with further pictures (MPO cameras) | its primary picture, with a note                                          |
| EXIF orientation                         | applied, with a note (a damaged EXIF block says nothing)                  |
| colour profile, gamma, resolution        | ignored                                                                   |
| an incomplete file, a wrong checksum     | `truncated`, `unreadable`, whatever Pillow's LOAD_TRUNCATED_IMAGES says   |
| arithmetic and lossless JPEG, fax and    | `unsupported_mode`: nobody could tell whether they are complete           |
| other rare compressions of TIFF          |                                                                           |

What was decoded is counted against what is claimed, by what each format offers:

PNG    checksums of all chunks; a row that was never decoded still has the value from before
JPEG   decoded without its end marker, so that the decoder asks for more where blocks lack; with several scans or
       restart markers twice, the second time with other data where each stretch ends: what was complete looks the same
TIFF   the table of strips or tiles, and their bytes; compressed, what the decoder says; JPEG within it, as JPEG
WebP   what libwebp says, which gives no part of a picture
BMP    the bytes that the header asks for; PGM and PPM likewise

What cannot be told: pixels that were changed or zeroed in a file of its full length where nothing is checked (BMP, PNM,
TIFF without compression, and most of WebP); in a JPEG, the last block of 8 x 8 pixels, and damage out of which just as
many blocks come as were there.
"""
