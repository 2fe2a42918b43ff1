"""The configuration of a model server."""

from typing import Annotated

from pydantic import Field

from configs.schema import Positive, Section

Seconds = Annotated[float, Field(gt=0)]


class ServingConfig(Section):
    """What a model server serves, where it listens, and what it takes on."""

    model: str | None = None
    """A registered model; not needed where there is only one."""
    version: Annotated[str, Field(min_length=1)] = "champion"
    """An alias, which is looked up again and again, or a number, which stays."""
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Where it listens."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Where it listens; 0 is any port that is free."""
    poll_seconds: Seconds = 5.0
    """Seconds between two looks at the alias."""
    batch_texts: Positive = 256
    """Texts of a batch at most, or those of one request."""
    batch_wait_ms: Annotated[float, Field(ge=0)] = 10.0
    """Milliseconds that are waited at most, after several requests at once, for as many to come again."""
    queue_texts: Positive = 2048
    """Texts that may wait; beyond them, requests are refused."""
    body_bytes: Positive = 4 << 20
    """Bytes of a request's body at most."""
    request_seconds: Seconds = 30.0
    """Seconds that a request may take, its body included."""
    explained_words: Positive = 500
    """Words that an explanation leaves out at most, one at a time."""
