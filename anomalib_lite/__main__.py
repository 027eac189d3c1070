"""`python -m anomalib_lite` is the command `anomalib-lite`."""

from anomalib_lite.cli import main

if __name__ == "__main__":
    main()
