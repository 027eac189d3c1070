"""Keeps the loggers of others quiet."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_loggers(*names: str) -> Iterator[None]:
    """Let these loggers, and those below them, say only what is an error; without names, all there are."""
    loggers = [logging.getLogger(name) for name in names] or [logging.getLogger()]
    levels, disabled = [logger.level for logger in loggers], logging.root.manager.disable
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    if not names:
        logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(disabled)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
