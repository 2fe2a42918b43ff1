"""What the trials found, drawn by Optuna."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from optuna.exceptions import ExperimentalWarning
from optuna.study import Study
from optuna.visualization.matplotlib import plot_intermediate_values, plot_optimization_history, plot_parallel_coordinate

from configs.sweep import SweepConfig
from tasks.search.storage import reaching_storage

FIGURES: dict[str, Callable[[Study], Any]] = {
    "history": plot_optimization_history,
    "epochs": plot_intermediate_values,
    "parallel_coordinates": plot_parallel_coordinate,
}


def draw_figures(study: Study, sweep: SweepConfig, folder: Path) -> None:
    """Draw each figure as a PNG in a folder, which is made.

    Raises:
        RepriseError: the storage could not be reached, or refused.
    """
    folder.mkdir(parents=True, exist_ok=True)
    matplotlib.use("agg")
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    for name, draw in FIGURES.items():
        with warnings.catch_warnings(), reaching_storage(sweep):
            warnings.simplefilter("ignore", ExperimentalWarning)
            figure: Figure = draw(study).figure
        figure.set_size_inches(10, 5)
        figure.savefig(folder / f"{name}.png", bbox_inches="tight")
        figure.clear()
