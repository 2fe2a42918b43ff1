"""Texts of several requests scored together by one thread, each request whole in one batch, and so by one version."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from threading import Condition, Thread
from typing import NamedTuple

from tasks.registration.loaded_version import LoadedVersion
from tasks.scoring.scores import Prediction

BATCH_CHARACTERS = 1 << 22
"""A batch of longer texts than this ends earlier: to cut them into words takes some 20 times their size."""
logger = logging.getLogger("reprise.serving")


class Scored(NamedTuple):
    """What one version says of some texts."""

    loaded: LoadedVersion
    predictions: Sequence[Prediction]


class QueueFull(Exception):
    """So many texts wait already that more are not taken."""


class _Waiting(NamedTuple):
    texts: list[str]
    characters: int
    answer: "asyncio.Future[Scored]"


class Batcher:
    """The queue of requests, and the thread that scores them."""

    def __init__(
        self,
        score: Callable[[list[str]], Scored],
        *,
        batch_texts: int,
        wait_seconds: float,
        queue_texts: int,
        tell_batch: Callable[[int, int, float], None] = lambda requests, texts, seconds: None,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            score: gives the predictions of some texts, in their order.
            batch_texts: texts of a batch at the most, unless one request has more.
            wait_seconds: after several requests at once, how long as many are waited for; who comes alone later than that never
                waits.
            queue_texts: texts that may wait; a request that finds none waiting is always taken.
            tell_batch: is told the requests, the texts and the seconds of each batch.
        """
        self._score, self._tell_batch = score, tell_batch
        self._batch_texts, self._wait_seconds, self._queue_texts = batch_texts, wait_seconds, queue_texts
        self._changed = Condition()
        self._queue: deque[_Waiting] = deque()
        self._texts = 0
        self._together = 1
        self._ended = False
        self._thread = Thread(target=self._run, name="scorer")

    @property
    def waiting_texts(self) -> int:
        """Return how many texts wait."""
        return self._texts

    @property
    def alive(self) -> bool:
        """Tell whether it scores."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to score."""
        self._thread.start()

    def stop(self) -> None:
        """End once everything that waits has been scored."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()

    async def score(self, texts: list[str]) -> Scored:
        """Return what the version of the moment says of a request's texts.

        Raises:
            QueueFull: too many wait already.
            Exception: whatever the scoring of these texts raises.
        """
        answer: asyncio.Future[Scored] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(texts, sum(map(len, texts)), answer)
        with self._changed:
            if self._queue and self._texts + len(texts) > self._queue_texts:
                raise QueueFull
            self._queue.append(waiting)
            self._texts += len(texts)
            self._changed.notify()
        return await answer

    async def score_in_pieces(self, read: Callable[[], Iterator[str]]) -> Scored:
        """Return the same of many texts, a batch's size at a time, so that other requests come in between; all by one version.

        Args:
            read: gives the texts, one at least; is called anew where another version is served before the last piece is scored.

        Raises:
            QueueFull: too many wait already.
            Exception: whatever the scoring of these texts raises.
        """
        texts = read()
        whole = await self.score(list(islice(texts, self._batch_texts)))
        while piece := list(islice(texts, self._batch_texts)):
            scored = await self.score(piece)
            if scored.loaded is not whole.loaded:
                return await self.score_in_pieces(read)
            whole = whole._replace(predictions=[*whole.predictions, *scored.predictions])
        return whole

    def _run(self) -> None:
        while batch := self._take_batch():
            # Whoever gave up waiting is not scored.
            if asked := [one for one in batch if not one.answer.cancelled()]:
                answers = self._score_batch(asked)
                with self._changed:
                    self._together = len(batch) + len(self._queue)
                asked[0].answer.get_loop().call_soon_threadsafe(_hand_out, asked, answers)

    def _take_batch(self) -> list[_Waiting]:
        with self._changed:
            idle = time.monotonic()
            self._changed.wait_for(lambda: self._queue or self._ended)
            if time.monotonic() - idle > self._wait_seconds:
                self._together = 1  # whoever was answered with others has not come again
            if self._together > 1:
                # A few rows cost the network as much as a full block: those who are being answered will soon ask again.
                self._changed.wait_for(
                    lambda: len(self._queue) >= self._together or self._texts >= self._batch_texts or self._ended,
                    self._wait_seconds,
                )
            batch: list[_Waiting] = []
            texts = characters = 0
            while self._queue and (
                not batch
                or (
                    texts + len(self._queue[0].texts) <= self._batch_texts
                    and characters + self._queue[0].characters <= BATCH_CHARACTERS
                )
            ):
                batch.append(self._queue.popleft())
                texts += len(batch[-1].texts)
                characters += batch[-1].characters
            self._texts -= texts
            return batch

    def _score_batch(self, batch: list[_Waiting]) -> list[Scored | Exception]:
        start = time.perf_counter()
        try:
            scored = self._score([text for one in batch for text in one.texts])
        except Exception as error:
            if len(batch) == 1:
                return [error]
            logger.warning("a batch of %d requests could not be scored: each is tried alone", len(batch), exc_info=error)
            return [answer for one in batch for answer in self._score_batch([one])]
        self._tell_batch(len(batch), len(scored.predictions), time.perf_counter() - start)
        predictions = iter(scored.predictions)
        return [scored._replace(predictions=[next(predictions) for _ in one.texts]) for one in batch]


def _hand_out(batch: list[_Waiting], answers: list[Scored | Exception]) -> None:
    for waiting, answer in zip(batch, answers, strict=True):
        if waiting.answer.cancelled():
            continue
        if isinstance(answer, Exception):
            waiting.answer.set_exception(answer)
            waiting.answer.exception()  # who has just been cancelled never asks for it, and asyncio would log its message
        else:
            waiting.answer.set_result(answer)
