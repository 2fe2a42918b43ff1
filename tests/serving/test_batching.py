"""The queue before the scorer thread, with scorers that a test holds back and lets go."""

import asyncio
import threading
import time
from types import SimpleNamespace

import pytest

from tasks.serving import batching
from tasks.serving.batching import Batcher, QueueFull, Scored


class Scorer:
    """Scores a text by its length, once it is let; keeps the batches that it was given."""

    def __init__(self):
        self.batches, self.version, self.begun, self.let = [], 1, threading.Event(), threading.Event()
        self.let.set()

    def __call__(self, texts):
        loaded = self.version
        self.batches.append(texts)
        self.begun.set()
        assert self.let.wait(10)
        if "poison" in texts:
            raise ValueError("poison")
        return Scored(loaded, [SimpleNamespace(probability=len(text), label=0) for text in texts])

    async def hold(self, batcher):
        """Have the thread busy with a first request, so that others wait; returns it."""
        self.let.clear()
        self.begun.clear()
        first = asyncio.ensure_future(batcher.score(["first"]))
        await asyncio.to_thread(self.begun.wait, 10)
        return first


def run(test, **settings):
    """Run a coroutine function with a scorer and a batcher before it, which is stopped."""
    scorer = Scorer()
    batcher = Batcher(scorer, **({"batch_texts": 4, "wait_seconds": 0.0, "queue_texts": 100} | settings))

    async def whole():
        batcher.start()
        try:
            await test(scorer, batcher)
        finally:
            scorer.let.set()
            await asyncio.to_thread(batcher.stop)

    asyncio.run(asyncio.wait_for(whole(), 20))


def lengths(scored):
    return [one.probability for one in scored.predictions]


async def ask_all(batcher, *questions):
    """Have questions wait in this order."""
    asked = [asyncio.ensure_future(batcher.score(question)) for question in questions]
    await asyncio.sleep(0)
    return asked


def test_requests_that_wait_are_scored_together_and_each_gets_its_own():
    async def test(scorer, batcher):
        first = await scorer.hold(batcher)
        asked = await ask_all(batcher, ["a"], ["bb", "ccc"], ["dddd"], ["e" * 5, "f" * 6])
        assert batcher.waiting_texts == 6
        scorer.let.set()
        assert [lengths(one) for one in await asyncio.gather(first, *asked)] == [[5], [1], [2, 3], [4], [5, 6]]
        assert list(map(len, scorer.batches)) == [1, 4, 2]
        assert batcher.waiting_texts == 0

    run(test)


@pytest.mark.parametrize(("batch_texts", "sizes"), [(1, [1, 1, 1, 1]), (2, [1, 2, 1]), (100, [1, 3])])
def test_a_batch_has_so_many_texts(batch_texts, sizes):
    async def test(scorer, batcher):
        first = await scorer.hold(batcher)
        asked = await ask_all(batcher, ["a"], ["b"], ["c"])
        scorer.let.set()
        await asyncio.gather(first, *asked)
        assert list(map(len, scorer.batches)) == sizes

    run(test, batch_texts=batch_texts)


def test_a_request_larger_than_a_batch_is_not_cut():
    async def test(scorer, batcher):
        assert lengths(await batcher.score(["a"] * 9)) == [1] * 9
        assert list(map(len, scorer.batches)) == [9]

    run(test)


def test_others_come_between_the_pieces_of_many_texts():
    async def test(scorer, batcher):
        first = await scorer.hold(batcher)
        many = asyncio.ensure_future(batcher.score_in_pieces(lambda: iter("a" * size for size in range(1, 11))))
        await asyncio.sleep(0)
        other = asyncio.ensure_future(batcher.score(["b"]))
        await asyncio.sleep(0)
        scorer.let.set()
        assert [lengths(one) for one in await asyncio.gather(first, many, other)] == [[5], [*range(1, 11)], [1]]
        assert list(map(len, scorer.batches)) == [1, 4, 1, 4, 2]

    run(test)


def test_the_pieces_of_many_texts_are_all_of_one_version():
    async def test(scorer, batcher):
        swaps = iter([2, 2])

        def read():
            yield from "abcd"
            scorer.version = next(swaps)  # once the first piece is scored
            yield from "efg"

        scored = await batcher.score_in_pieces(read)
        assert (scored.loaded, lengths(scored)) == (2, [1] * 7)
        assert list(map(len, scorer.batches)) == [4, 3, 4, 3]

    run(test)


def test_long_texts_end_a_batch(monkeypatch):
    monkeypatch.setattr(batching, "BATCH_CHARACTERS", 10)

    async def test(scorer, batcher):
        first = await scorer.hold(batcher)
        asked = await ask_all(batcher, ["a" * 6], ["b" * 6], ["c" * 4])
        scorer.let.set()
        await asyncio.gather(first, *asked)
        assert list(map(len, scorer.batches)) == [1, 1, 2]

    run(test)


def test_each_request_is_answered_by_one_version():
    async def test(scorer, batcher):
        first = await scorer.hold(batcher)
        asked = await ask_all(batcher, ["a", "b"])
        scorer.version = 2
        scorer.let.set()
        assert [one.loaded for one in await asyncio.gather(first, *asked)] == [1, 2]

    run(test)


@pytest.mark.parametrize(("wait_seconds", "together"), [(0.0, [1, 1, 1]), (1.0, [1, 2])])
def test_after_a_batch_of_several_as_many_are_waited_for(wait_seconds, together):
    async def test(scorer, batcher):
        first = await scorer.hold(batcher)
        asked = await ask_all(batcher, ["a"], ["b"])
        scorer.let.set()
        await asyncio.gather(first, *asked)
        scorer.batches.clear()
        scorer.batches.append([""])
        one = asyncio.ensure_future(batcher.score(["a"]))
        await asyncio.sleep(0.3)
        await asyncio.gather(one, batcher.score(["b"]))
        assert list(map(len, scorer.batches)) == together

    run(test, wait_seconds=wait_seconds)


def test_two_who_come_by_turns_are_brought_together():
    async def test(scorer, batcher):
        first = await scorer.hold(batcher)
        (second,) = await ask_all(batcher, ["second"])
        scorer.let.set()
        await first
        await asyncio.gather(second, batcher.score(["first again"]))
        assert scorer.batches == [["first"], ["second", "first again"]]

    run(test, wait_seconds=5.0)


def test_a_lone_request_never_waits():
    async def test(scorer, batcher):
        start = time.monotonic()
        for _ in range(3):
            await batcher.score(["a"])
        assert time.monotonic() - start < 5

    run(test, wait_seconds=10.0)


def test_a_lone_request_long_after_others_does_not_wait():
    async def test(scorer, batcher):
        first = await scorer.hold(batcher)
        asked = await ask_all(batcher, ["a"], ["b"])
        scorer.let.set()
        await asyncio.gather(first, *asked)
        await asyncio.sleep(1.2)
        start = time.monotonic()
        await batcher.score(["alone"])
        assert time.monotonic() - start < 0.9

    run(test, wait_seconds=1.0)


def test_the_wait_ends_by_itself():
    async def test(scorer, batcher):
        first = await scorer.hold(batcher)
        asked = await ask_all(batcher, ["a"], ["b"])
        scorer.let.set()
        await asyncio.gather(first, *asked)
        start = time.monotonic()
        await batcher.score(["alone"])
        assert time.monotonic() - start >= 0.2

    run(test, wait_seconds=0.2)


def test_what_finds_no_room_is_refused_and_the_rest_is_answered():
    async def test(scorer, batcher):
        first = await scorer.hold(batcher)
        asked = await ask_all(batcher, ["a", "b"], ["c"])
        with pytest.raises(QueueFull):
            await batcher.score(["d"])
        scorer.let.set()
        assert [lengths(one) for one in await asyncio.gather(first, *asked)] == [[5], [1, 1], [1]]
        assert lengths(await batcher.score(["d" * 4] * 9)) == [4] * 9  # where none waits, any is taken

    run(test, queue_texts=3)


def test_a_request_that_cannot_be_scored_spoils_no_other():
    async def test(scorer, batcher):
        first = await scorer.hold(batcher)
        asked = await ask_all(batcher, ["a"], ["poison"], ["bb"])
        scorer.let.set()
        answers = await asyncio.gather(first, *asked, return_exceptions=True)
        assert isinstance(answers[2], ValueError)
        assert [lengths(answers[place]) for place in (0, 1, 3)] == [[5], [1], [2]]

    run(test)


def test_whoever_has_given_up_is_not_scored():
    async def test(scorer, batcher):
        first = await scorer.hold(batcher)
        gone, stayed = await ask_all(batcher, ["gone"], ["stayed"])
        gone.cancel()
        await asyncio.sleep(0)
        scorer.let.set()
        assert [lengths(one) for one in await asyncio.gather(first, stayed)] == [[5], [6]]
        assert scorer.batches == [["first"], ["stayed"]]

    run(test)


def test_what_waits_is_answered_before_the_end():
    async def test(scorer, batcher):
        first = await scorer.hold(batcher)
        asked = await ask_all(batcher, ["a"], ["b"])
        ending = asyncio.ensure_future(asyncio.to_thread(batcher.stop))
        await asyncio.sleep(0.05)
        scorer.let.set()
        await ending
        assert [lengths(one) for one in await asyncio.gather(first, *asked)] == [[5], [1], [1]]

    run(test)
