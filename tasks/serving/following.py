"""Which version is served: the one that the alias means, once it is verified, loaded and warm; until then the one before."""

import gc
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event, Thread
from typing import NamedTuple

from tasks.errors import RepriseError
from tasks.registration.loaded_version import LoadedVersion
from tasks.registration.scoring import PinnedVersion
from tasks.serving.batching import Scored

LONGEST_PAUSE_SECONDS = 600.0
STOP_SECONDS = 5.0
logger = logging.getLogger("reprise.serving")


class Trouble(NamedTuple):
    """Why what is served may not be what should be."""

    since: datetime
    version: str | None
    reason: str


class _Refused(NamedTuple):
    pinned: PinnedVersion
    pause: float
    again: float
    trouble: Trouble


class NotReady(Exception):
    """No version is loaded yet."""


class Follower:
    """Keeps a version loaded, and replaces it by a newer one that has proved itself."""

    def __init__(
        self,
        find: Callable[[], PinnedVersion],
        load: Callable[[PinnedVersion], LoadedVersion],
        *,
        poll_seconds: float,
        tell_swap: Callable[[LoadedVersion], None] = lambda loaded: None,
        tell_trouble: Callable[[Trouble | None], None] = lambda trouble: None,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            find: the version that should be served.
            load: makes it ready to score, or raises.
            poll_seconds: between two calls of `find`. A version that was refused is tried again after twice as long each time.
            tell_swap: is told of each version that is served from now on.
            tell_trouble: is told of whatever keeps the version that should be served from being so, each time that it does; and
                None when that is over.
        """
        self._find, self._load, self._poll_seconds = find, load, poll_seconds
        self._tell_swap, self._tell_trouble = tell_swap, tell_trouble
        self._loaded: LoadedVersion | None = None
        self._trouble: Trouble | None = None
        self._refused: _Refused | None = None
        self._ended = Event()
        self._thread = Thread(target=self._run, name="follower", daemon=True)

    @property
    def loaded(self) -> LoadedVersion | None:
        """Return the version that is served."""
        return self._loaded

    @property
    def trouble(self) -> Trouble | None:
        """Return what is wrong at the moment."""
        return self._trouble

    @property
    def alive(self) -> bool:
        """Tell whether it follows."""
        return self._thread.is_alive()

    def score(self, texts: list[str]) -> Scored:
        """Score texts with the version that is served at this moment.

        Raises:
            NotReady: there is none yet.
            ModelMismatch: its own code fails at these texts.
        """
        loaded = self._loaded
        if loaded is None:
            raise NotReady
        return Scored(loaded, loaded.predict(texts))

    def start(self, *, begin: Callable[[], None], fail: Callable[[Exception], None]) -> None:
        """Begin to follow.

        Args:
            begin: is called once the first version is served.
            fail: is told of what keeps it from that, after which nothing is looked for any more.
        """
        self._begin, self._fail = begin, fail
        self._thread.start()

    def stop(self) -> bool:
        """End, and tell whether it has: MLflow may keep one waiting for minutes."""
        self._ended.set()
        self._thread.join(STOP_SECONDS)
        return not self._thread.is_alive()

    def look(self) -> None:
        """Serve what should be served, if that is not so already; what is wrong is kept as `trouble`."""
        pinned = None
        try:
            pinned = self._find()
            if self._loaded is None or pinned != self._loaded.pinned:
                if self._refused and self._refused.pinned == pinned and time.monotonic() < self._refused.again:
                    self._tell(self._refused.trouble)
                    return
                self._swap(self._load(pinned))
        except Exception as error:  # whatever it is, the version before is served on
            self._keep(pinned, error)
            return
        if self._trouble is not None:
            logger.info("what is served is what should be again")
            self._tell_trouble(None)
        self._trouble = self._refused = None

    def _swap(self, loaded: LoadedVersion) -> None:
        before, self._loaded = self._loaded, loaded
        self._tell_swap(loaded)
        changed = f", instead of version {before.pinned.version}" if before else ""
        logger.info("version %s of %s is served%s", loaded.pinned.version, loaded.pinned.name, changed)
        del before
        gc.collect()  # a network is full of cycles

    def _keep(self, pinned: PinnedVersion | None, error: Exception) -> None:
        reason = str(error) if isinstance(error, RepriseError) else f"{type(error).__name__}: {error}"
        trouble = Trouble(datetime.now(UTC), None if pinned is None else pinned.version, reason)
        before = self._refused.trouble if self._refused and self._refused.pinned == pinned else self._trouble
        if before is not None and before[1:] == trouble[1:]:
            trouble = before
        if pinned is not None:
            pause = self._poll_seconds
            if self._refused and self._refused.pinned == pinned:
                pause = min(2 * self._refused.pause, LONGEST_PAUSE_SECONDS)
            self._refused = _Refused(pinned, pause, time.monotonic() + pause, trouble)
        self._tell(trouble)
        self._tell_trouble(trouble)

    def _tell(self, trouble: Trouble) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            kept = f"version {self._loaded.pinned.version} stays" if self._loaded else "nothing is served"
            logger.warning("%s: %s", kept, trouble.reason)

    def _run(self) -> None:
        try:
            self._swap(self._load(self._find()))
            self._begin()
        except Exception as error:
            self._fail(error)
            return
        while not self._ended.wait(self._poll_seconds):
            self.look()
