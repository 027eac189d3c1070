"""Plugins: found, asked what they provide, checked, described; a package for a new one."""

from anomalib_lite.hookspecs import reader_name
from anomalib_lite.registry.loading import PLUGINS_VARIABLE, Reader, Registry, described, load, resolve
from anomalib_lite.registry.plugin import Note, Problem, Provider

__all__ = [
    "PLUGINS_VARIABLE",
    "Note",
    "Problem",
    "Provider",
    "Reader",
    "Registry",
    "described",
    "load",
    "reader_name",
    "resolve",
]
