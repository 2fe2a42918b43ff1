"""`reprise serve`: a model server that follows a registered model's champion."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.options import Model
from flows.terminal import err, keep_native_messages, print_warning
from tasks.workspace import home


def serve(
    model: Model = None,
    version: Annotated[str, typer.Option(help="An alias, which is followed, or a version's number.")] = "champion",
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 is any that is free.")] = 8000,
    token_file: Annotated[
        Path | None, typer.Option(help="A file with the token that clients must show; or give it in REPRISE_SERVE_TOKEN.")
    ] = None,
    poll_seconds: Annotated[float, typer.Option(help="How often to look where the alias is.")] = 5.0,
    batch_texts: Annotated[int, typer.Option(help="Texts that are scored together at the most.")] = 256,
    batch_wait_ms: Annotated[
        float, typer.Option(help="Under load, how long to wait for those who were just answered to ask again.")
    ] = 10.0,
    queue_texts: Annotated[int, typer.Option(help="Texts that may wait; beyond, the answer is 503.")] = 2048,
    body_bytes: Annotated[int, typer.Option(help="Bytes that a request's body may have; beyond, the answer is 413.")] = 4 << 20,
    request_seconds: Annotated[float, typer.Option(help="How long a request may take, its body included.")] = 30.0,
    explained_words: Annotated[int, typer.Option(help="Words of a text that is explained at the most.")] = 500,
) -> None:
    """Serve a registered model over HTTP until Ctrl-C: scores, explanations, a page, metrics; see docs/serving.md.

    A line of JSON for each request goes to standard output.

    Example: reprise serve --model imdb-lstm --port 8000
    """
    from configs.loading import check_section
    from configs.serving import ServingConfig
    from tasks.serving.bearer import take_token

    config = check_section(
        {
            "model": model,
            "version": version,
            "host": host,
            "port": port,
            "poll_seconds": poll_seconds,
            "batch_texts": batch_texts,
            "batch_wait_ms": batch_wait_ms,
            "queue_texts": queue_texts,
            "body_bytes": body_bytes,
            "request_seconds": request_seconds,
            "explained_words": explained_words,
        },
        "reprise serve",
        ServingConfig,
    )
    token = take_token(token_file)
    err.print("Starting ...")
    from tasks.registration.loaded_version import pin_followed
    from tasks.registration.versions import choose_model

    name = choose_model(model)
    pin_followed(name, version)
    keep_native_messages(home() / "logs" / "native.log")
    import tasks.training.network  # noqa: F401 (before the server answers: it takes seconds, in which nothing else would run)
    from tasks.serving.request_log import write_log
    from tasks.serving.running import ModelServer, listen

    at = listen(host, port)
    if token is None and host not in ("127.0.0.1", "::1", "localhost"):
        print_warning(f"whoever reaches {host} may ask, for there is no token: give one by --token-file or REPRISE_SERVE_TOKEN")
    shown = f"http://{f'[{host}]' if ':' in host else host}:{at.getsockname()[1]}"
    write_log(sys.stdout)
    server = ModelServer(config, name, token, lambda: err.print(f"Serving {name} on {shown}. Ctrl-C ends it.", soft_wrap=True))
    try:
        server.run(at)
    except KeyboardInterrupt:  # uvicorn has ended in order, and passes on the signal that asked it to
        err.print("Stopped.")
    if not server.ended:
        # A thread that hangs in MLflow or TensorFlow can bring the interpreter down on its way out.
        sys.stdout.flush()
        os._exit(0)
