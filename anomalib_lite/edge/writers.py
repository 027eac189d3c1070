"""Whether a program still has a file open to write it, asked of the kernel: size and time of a file do not tell.

Linux grants a read lease on a file only while nobody has it open for writing (fcntl(2), F_SETLEASE). A lease may be
asked for by the owner of the file, or with the capability CAP_LEASE, on file systems of this machine. It is given back
at once; who opens the file meanwhile causes a signal that does nothing.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

LEASES = fcntl is not None and hasattr(fcntl, "F_SETLEASE") and hasattr(fcntl, "F_SETSIG")  # Linux


def being_written(path: Path) -> bool | None:
    """Whether a program has the file open for writing; None where this system does not say.

    What is gone, no plain file or not readable, nobody writes: whoever opens it next finds out.
    """
    if not LEASES:
        return None
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)  # ignored by default; SIGIO would end the process
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    finally:
        os.close(descriptor)
    return False
