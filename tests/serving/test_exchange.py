"""What is told of requests, whatever becomes of them."""

import asyncio

import pytest

from tasks.serving.exchange import Exchange


def test_a_request_that_is_cancelled_is_not_told_as_answered():
    told = []

    async def wait(scope, receive, send):
        await asyncio.sleep(60)

    async def test():
        exchange = Exchange(wait, paths=frozenset(), tell_request=lambda *one: told.append(one[:2]))
        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(exchange(scope, None, None), 0.01)

    asyncio.run(test())
    assert told == [("other", 499)]
