"""Which images of a watched folder have arrived: they rest, and nobody writes them any more.

Size and time of a file do not tell that it is whole: some programs set the size first, others pause. Where the system
tells whether a program has a file open for writing, that decides. Where it does not, and where what was read is no
whole image, the file has to rest for longer.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from anomalib_lite.edge.copies import FOLDER as COPIES
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.journal import JOURNAL
from anomalib_lite.edge.writers import being_written

SETTLE = 0.5  # seconds for which a file that nobody writes must rest
SETTLE_BLIND = 10.0  # the same where nobody can say whether one does, or the file holds no whole image
LONG = 60.0  # seconds of waiting that are worth a word
OF_STORAGE = {"@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "__macosx"}
MASKS = "roi-masks"  # the folder of the masks that are drawn at the page of `review`
OURS = {*map(str.lower, Verdict), JOURNAL, COPIES, MASKS, "decisions.jsonl", "decisions.jsonl.torn"}

Attempts = Callable[[str], int]  # name -> attempts at a file of this name that ended the program
Judged = Callable[[str, str], bool]  # name, identity -> whether that file was judged and could not be moved


def identity(path: Path) -> str | None:
    """What tells a file from a later one of its name; None where it is gone."""
    try:
        return _identity(path.lstat())
    except (FileNotFoundError, NotADirectoryError):
        return None


def _identity(status: os.stat_result) -> str:
    return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"


class Arrivals:
    """The images of one folder that are to be judged, and what is to be said of the rest."""

    def __init__(
        self,
        folder: Path,
        opener: Opener,
        attempts: Attempts,
        judged: Judged,
        *,
        settle: float | None,
        recursive: bool,
    ) -> None:
        """Nothing is opened yet.

        Args:
            folder: Where images arrive.
            opener: Tells which files are images.
            attempts: What ended the program before comes last, and holds up nothing.
            judged: Tells which files are only to be moved.
            settle: Seconds for which a file must rest. Default: `SETTLE`, and `SETTLE_BLIND`.
            recursive: Whether they arrive in folders within it, too.
        """
        self._folder, self._opener, self._recursive = folder, opener, recursive
        self._attempts, self._judged = attempts, judged
        self._settle, self._blind = (SETTLE, SETTLE_BLIND) if settle is None else (settle, settle)
        self._seen: dict[str, tuple[str, float]] = {}  # name -> identity, since when
        self._incomplete: dict[str, str] = {}  # name -> identity of what held no whole image
        self._found: dict[str, tuple[str, bool]] = {}  # name that tells of no image -> identity, whether it is one
        self.there: set[str] = set()  # all that are to be judged, at rest or not, once `ready` has gone through them
        self._remarks: dict[str, str | None] = {}  # what it is about -> what is to be said, None once it was

    def ready(self) -> Iterator[tuple[str, str]]:
        """Name within the folder and identity of each image that is to be judged now, oldest first."""
        names, others = self._listed()
        self.there = set()
        self._forget_all_but({*names, *others})
        for name in others:
            here, seconds = self._rest(name)
            if here is not None and seconds >= self._settle:
                self._remark(name, f"{name}: no image by its name or its content; it stays where it is.")
        for name in names:
            here, seconds = self._rest(name)
            if here is None or self._judged(name, here):
                continue
            self.there.add(name)
            if self._is_whole(name, here, seconds):
                yield name, here

    def may_be_incomplete(self, name: str, here: str) -> bool:
        """Whether to look again later at a file that holds no whole image; asked once for as long as it rests."""
        if self._blind <= self._settle or self._incomplete.get(name) == here:
            return False
        self._incomplete[name] = here
        return True

    def forget(self, name: str) -> None:
        """Begin anew with a file that changed."""
        self._seen.pop(name, None)

    def remarks(self) -> list[str]:
        """What is to be said, each once."""
        new = [said for said in self._remarks.values() if said]
        self._remarks = dict.fromkeys(self._remarks)
        return new

    def _rest(self, name: str) -> tuple[str | None, float]:
        """What a file is, and for how many seconds it has been that."""
        now, here = time.monotonic(), identity(self._folder / name)
        known, since = self._seen.get(name, (None, now))
        if here is None or here != known:
            self._seen[name], since = (here or "", now), now
        return here, now - since

    def _is_whole(self, name: str, here: str, seconds: float) -> bool:
        """Whether a file that did not change for so long may be opened."""
        if seconds < (self._blind if self._incomplete.get(name) == here else self._settle):
            return False
        written = being_written(self._folder / name)
        if written is None and self._blind > self._settle:
            self._remark(
                "",
                f"this system does not say whether a program still writes a file, such as {name}: files are judged "
                f"once they have not changed for {self._blind:g} s (--settle)",
            )
            return seconds >= self._blind
        if written and seconds >= LONG:
            self._remark(name, f"{name}: a program keeps it open for writing; it is judged once it is closed")
        return not written

    def _remark(self, about: str, text: str) -> None:
        self._remarks.setdefault(about, text)

    def _listed(self) -> tuple[list[str], list[str]]:
        """Names of images, oldest first, and of other files. Hidden files are being copied, or none of ours."""
        images: list[tuple[int, int, str]] = []
        others: list[str] = []
        for entry, name in self._entries(self._folder, ""):
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # vanished meanwhile
                continue
            here = _identity(status)
            if stat.S_ISDIR(status.st_mode):
                self._remark("/", f"{name}/: images in folders are passed over; --recursive judges them, too")
            elif self._opener.is_image(entry.name) or self._finds(name, here):
                images.append((self._attempts(name), status.st_mtime_ns, name))
            else:
                others.append(name)
        return [name for *_, name in sorted(images)], sorted(others)

    def _finds(self, name: str, here: str) -> bool:
        """Whether a file whose name does not say so is an image; looked at once for as long as it stays the same."""
        known, found = self._found.get(name, ("", False))
        self._found[name] = here, found if known == here else self._opener.finds(self._folder / name)
        return self._found[name][1]

    def _entries(self, folder: Path, above: str) -> Iterator[tuple[os.DirEntry[str], str]]:
        """Entries of the folder and, where these are looked into, of those within it, but none of ours."""
        try:
            with os.scandir(folder) as listed:
                entries = list(listed)
        except (FileNotFoundError, NotADirectoryError):
            if above:  # vanished meanwhile
                return
            raise
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in OF_STORAGE or (not above and entry.name in OURS):
                continue
            if self._recursive and entry.is_dir(follow_symlinks=False):
                yield from self._entries(folder / entry.name, f"{above}{entry.name}/")
            else:
                yield entry, f"{above}{entry.name}"

    def _forget_all_but(self, names: Collection[str]) -> None:
        """Keep nothing of files that are gone."""
        for known in (self._seen, self._incomplete, self._found, self._remarks):
            for name in known.keys() - names - {"", "/"}:
                known.pop(name)
