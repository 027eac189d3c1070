"""Where pieces of work run: in this process, in several of this machine, or in a Ray cluster."""

from anomalib_lite.engines.local import Local
from anomalib_lite.engines.work import Died, Engine

__all__ = ["Died", "Engine", "Local"]
