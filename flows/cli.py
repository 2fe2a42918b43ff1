"""The `reprise` command: reads its arguments and a configuration, calls a flow, prints.

Libraries are imported inside the commands that need them, so that `--help` answers at once.
"""

import atexit
import errno
import gc
import getpass
import json
import logging
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from configs.environment import set_library_defaults
from configs.one_line import without_credentials
from flows import (
    cache_commands,
    monitoring_commands,
    noise_commands,
    promotion_commands,
    reproduction_commands,
    schedule_commands,
    scoring_commands,
    serve_commands,
    sweep_commands,
)
from flows.configuring import resolve_config, resolve_unfinished
from flows.options import AsJson, ConfigName, Data, Model, Settings, Version, complete_versions
from flows.progress import shown_work
from flows.standard_input import read_lines
from flows.starting import EVALUATION_IMPORTS, TRAINING_IMPORTS, running_prefect
from flows.terminal import (
    describe_prediction,
    err,
    out,
    print_error,
    print_json,
    print_markdown,
    print_notes,
    print_result,
    print_table,
    print_warning,
    printable,
)
from tasks.disk_space import find_full_disk, tell_full_disk
from tasks.errors import InputError, OrchestrationError, RepriseError
from tasks.progress import working
from tasks.workspace import home

if TYPE_CHECKING:
    from tasks.registration.versions import VersionSummary

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)


def main() -> None:
    """Run the command: exit 0 when done, 2 when the user's input is at fault, 1 on anything else."""
    debug = "--debug" in sys.argv
    # Imports make a million objects that stay: by default a fifth of their time goes by in looking for garbage among these.
    gc.set_threshold(100_000)
    # The last hook to run: else Python takes TensorFlow's millions of objects apart one by one, for two seconds.
    atexit.register(gc.freeze)
    # So that a plain `kill` ends the run's record and the servers as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Else each log line that Prefect's API does not take adds two lines to the one that tells what is wrong.
    logging.raiseExceptions = debug
    try:
        _require_working_folder()
        app(args=[argument for argument in sys.argv[1:] if argument != "--debug"], prog_name="reprise")
    except RepriseError as error:
        if debug:
            _print_traceback()
        print_error(str(error))
        sys.exit(2 if isinstance(error, InputError) else 1)
    except KeyboardInterrupt:
        err.print("stopped")
        sys.exit(130)
    except Exception as error:
        if debug:
            _print_traceback()
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            print_error(
                f"{error.filename}: {error.strerror}, for {getpass.getuser()}: work in a folder that this user may write to; "
                "REPRISE_HOME names another for the workspace"
            )
            sys.exit(1)
        first_line = next(iter(str(error).strip().splitlines()), "no message")
        told = tell_full_disk(error, home(), "the workspace") or f"{type(error).__name__}: {first_line}"
        # Prefect's API, say, answers 500 where its database has no room, and no more.
        full = find_full_disk([home(), Path.cwd(), Path(tempfile.gettempdir())])
        print_error("; ".join([told, *([full] if full and full not in told else []), "--debug shows where"]))
        print_notes(error)
        sys.exit(1)


def _print_traceback() -> None:
    sys.stderr.write(without_credentials(traceback.format_exc()))


def _require_working_folder() -> None:
    try:
        Path.cwd()
    except FileNotFoundError:
        raise RepriseError("the working folder is gone: change to one that is there") from None


@app.callback()
def prepare(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
) -> None:
    """Retrain an LSTM text classifier, and promote a version only when it can be shown to be better."""
    set_library_defaults(home())


@app.command()
def train(
    config: ConfigName = None,
    data: Data = None,
    set_: Settings = None,
    report: Annotated[str | None, typer.Option(help="Write the run as JSON to this file or fsspec URL.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Begin anew, and run every stage, also those with a result.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a training that was cut off, or not at all.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train, evaluate and register a model; a training that was cut off goes on when the same is started again.

    Without --config: IMDB if it can be had, otherwise a generated sample, and the first and last line say which.

    Example: reprise train --data reviews.csv --set training.epochs=3 --report run.json
    """
    if resume and force:
        raise InputError("--resume goes on with a training and --force begins it anew: give one of them")
    resolved, note = (resolve_unfinished if resume else resolve_config)(config, data, set_ or [])
    if report is not None:
        from tasks.storage import require_writable

        require_writable("--report", report)
    try:
        with shown_work(on_stderr=as_json):
            out.print(note, soft_wrap=True)
            with running_prefect("flows.training", ahead=(*TRAINING_IMPORTS, *EVALUATION_IMPORTS)):
                from flows.training import training

                result = training(resolved, tags={"data.note": note}, force=force, resume=resume)
    except KeyboardInterrupt:  # Typer ends on it without a word; and Prefect may have made another of it, without its notes
        from tasks.unfinished import find_way_on

        told = ["stopped", *filter(None, [find_way_on(resolved)])]
        err.print("\n".join(told), soft_wrap=True, markup=False)
        raise
    except OrchestrationError as error:  # that of Prefect's last request, which came over the one that says how to go on
        from tasks.unfinished import find_way_on

        way_on = find_way_on(resolved)
        if way_on is None or way_on in str(error):
            raise
        raise OrchestrationError(f"{error}; {way_on}") from error
    from tasks.report import write_json

    if not as_json:
        print_result(result)
    if report is not None:
        from tasks.storage import write_output

        write_output("--report", report, json.dumps(write_json(result, resolved), indent=1))
    if as_json:
        print_json(write_json(result, resolved))
    else:
        out.print(note, soft_wrap=True)


@app.command()
def predict(
    texts: Annotated[list[str] | None, typer.Argument(help="Reviews; without any, one a line from standard input.")] = None,
    model: Model = None,
    version: Version = "champion",
    as_json: AsJson = False,
) -> None:
    """Score reviews with a registered model.

    Example: reprise predict "A wonderful film."
    """
    from tasks.registration.scoring import score_texts
    from tasks.registration.versions import choose_model, find_version

    if not texts and sys.stdin.isatty():
        err.print("Reviews, one a line; Ctrl-D ends them.")
    reviews = texts or [*read_lines(sys.stdin.buffer)]
    if not reviews:
        raise InputError("no review: give it as an argument, or one a line on standard input")
    chosen = find_version(choose_model(model), version).summary
    title = f"{chosen.name} version {chosen.version}"
    with shown_work(on_stderr=True), working(f"loading {title}"):
        predictions = score_texts(chosen, reviews)
    if as_json:
        print_json([{"text": text, **prediction} for text, prediction in zip(reviews, predictions, strict=True)])
        return
    rows = [[*describe_prediction(prediction), printable(text)] for text, prediction in zip(reviews, predictions, strict=True)]
    print_table(title, ["probability", "label", "review"], rows)


@app.command()
def models(as_json: AsJson = False) -> None:
    """List registered models and their versions, and say which champion is not what it was.

    Example: reprise models
    """
    from tasks.registration.verification import find_champion_trouble
    from tasks.registration.versions import list_models, list_versions

    versions = list_versions()
    troubles = {name: find_champion_trouble(name) for name in list_models()}  # also where no version is left
    for trouble in filter(None, troubles.values()):
        print_warning(trouble)
    if as_json:
        print_json([{**version_record(one), "champion_trouble": troubles[one.name]} for one in versions])
        return
    if not troubles:
        from tasks.mlflow_store import shown_tracking_uri

        out.print(f"No registered model yet in {shown_tracking_uri()}: reprise train makes one.", soft_wrap=True)
        return
    rows = [
        [
            version.name,
            version.version,
            ", ".join(version.aliases),
            "" if version.accuracy is None else f"{version.accuracy:.2%}",
            version.outcome or "",
            f"{version.created:%Y-%m-%d %H:%M} UTC",
        ]
        for version in versions
    ]
    print_table("Registered models", ["model", "version", "alias", "test accuracy", "decision", "registered"], rows)


@app.command()
def show(
    version: Annotated[str, typer.Argument(help="A version's number or alias.", autocompletion=complete_versions)] = "champion",
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Show why a version is what it is: decisions, figures beside the champion's, data, configuration, receipts.

    Example: reprise show champion --model imdb-lstm
    """
    from tasks.registration.pages import read_record
    from tasks.registration.versions import choose_model
    from tasks.version_page import record_as_json, write_page

    record = read_record(choose_model(model), version)
    if as_json:
        print_json(record_as_json(record))
    else:
        print_markdown(write_page(record))


@app.command()
def ui(
    mlflow_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the MLflow UI.")] = 5000,
    prefect_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the Prefect UI.")] = 4200,
) -> None:
    """Serve the MLflow and Prefect UIs on loopback until Ctrl-C.

    Example: reprise ui --mlflow-port 5001
    """
    from flows.servers import ui_servers, wait_for_end

    out.print("Starting both UIs ...")
    with ui_servers(mlflow_port=mlflow_port, prefect_port=prefect_port, log_folder=home() / "logs") as servers:
        for name, variable in (("MLflow", "MLFLOW_TRACKING_URI"), ("Prefect", "PREFECT_API_URL")):
            if all(server.name != name for server in servers):
                out.print(f"{name:<8} is where {variable} says: {os.environ[variable]}", soft_wrap=True)
        if not servers:
            return
        for server in servers:
            path = "/#/experiments?workflowType=machine_learning" if server.name == "MLflow" else "/runs"
            out.print(f"{server.name:<8} {server.url}{path}", soft_wrap=True)
        out.print("Ctrl-C ends it.")
        try:
            wait_for_end(servers)
        except KeyboardInterrupt:
            out.print("Stopping ...")
            return
    raise RepriseError(f"a server ended by itself: see {home() / 'logs'}")


app.add_typer(cache_commands.app, name="cache")
for command in (
    promotion_commands.promote,
    promotion_commands.rollback,
    promotion_commands.history,
    promotion_commands.champion,
    promotion_commands.verify,
    reproduction_commands.reproduce,
    noise_commands.noise,
    scoring_commands.score,
    serve_commands.serve,
    sweep_commands.sweep,
    schedule_commands.schedule,
    monitoring_commands.monitor,
):
    app.command()(command)


def version_record(version: "VersionSummary") -> dict[str, Any]:
    """Return a version as JSON prints it."""
    return {**version._asdict(), "created": version.created.isoformat()}


if __name__ == "__main__":
    main()
