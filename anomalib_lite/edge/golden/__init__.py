"""Golden images: which of them an image is compared with, and how it is aligned with one."""
