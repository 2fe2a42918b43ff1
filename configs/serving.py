"""What a model server serves, where it listens, and what it takes on."""

from typing import Annotated

from pydantic import Field

from configs.schema import Positive, Section

Seconds = Annotated[float, Field(gt=0)]


class ServingConfig(Section):
    """A model server.

    `model` is a registered model, None for the only one. `version` is an alias, which is looked up again every `poll_seconds`,
    or a number, which stays. Port 0 is any that is free.

    A batch holds at most `batch_texts` texts, or one request; after several requests at once, up to `batch_wait_ms` are waited
    for as many to come again. Beyond `queue_texts` texts that wait, requests are refused, as are bodies above
    `body_bytes` bytes. A request may take `request_seconds`, its body included. An explanation leaves out one of at most
    `explained_words` words at a time.
    """

    model: str | None = None
    version: Annotated[str, Field(min_length=1)] = "champion"
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    poll_seconds: Seconds = 5.0
    batch_texts: Positive = 256
    batch_wait_ms: Annotated[float, Field(ge=0)] = 10.0
    queue_texts: Positive = 2048
    body_bytes: Positive = 4 << 20
    request_seconds: Seconds = 30.0
    explained_words: Positive = 500
