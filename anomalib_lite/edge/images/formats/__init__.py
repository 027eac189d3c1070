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
| JPEG with further pictures (MPO cameras) | its primary picture, with a note                                          |
| EXIF orientation                         | applied, with a note (a damaged EXIF block says nothing)                  |
| colour profile, gamma, resolution        | ignored                                                                   |
| an incomplete file, a wrong checksum     | `truncated`, `unreadable`, whatever Pillow's LOAD_TRUNCATED_IMAGES says   |
"""
