"""Inputs on which nothing may be decided: whether the gate and what it is asked with refuse them."""

import argparse
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from rich.table import Table

from configs.schema import GateConfig, RegistrationConfig
from tasks.errors import InputError, ModelMismatch
from tasks.evaluation.comparison import compare_accuracy, compare_slices, expected_calibration_error
from tasks.handles import Comparison, HighWaterMark, SeedNoise
from tasks.registration.gate import judge
from tests.benchmarks.simulation import BANDS, compare_pair, draw_pair


def measure_refusals(arguments: argparse.Namespace) -> tuple[Any, Table]:
    """Count how many inputs are refused that nothing may be decided on."""
    found = {}
    for kind, cases in refusal_cases(np.random.default_rng(arguments.seed)).items():
        refused = [is_refused(case) for case in cases]
        found[kind] = {"refused": sum(refused), "of": len(refused)}
    table = Table("input", "refused", title="Inputs on which nothing may be decided", title_justify="left")
    for kind, counts in found.items():
        table.add_row(kind, f"{counts['refused']} of {counts['of']}")
    return found, table


def refusal_cases(generator: np.random.Generator) -> dict[str, list[Callable[[], object]]]:
    """Return, by kind, calls with inputs of which each must raise an error of the project's or promote nothing."""
    good = compare_pair(draw_pair(generator, 20_000, 0.12, 0.02))
    noise = SeedNoise(accuracies=(0.86, 0.87), spread=0.005, gate_sha256="", config_sha256="")
    good = good.model_copy(update={"high_water": HighWaterMark(version="1", accuracy=0.86), "noise": noise})
    first = good.model_copy(
        update={**dict.fromkeys(("champion", "accuracy", "test", "p_value", "high_water", "noise")), "slices": ()}
    )
    floors, gate = RegistrationConfig(floors={"accuracy": 0.8}).floors, GateConfig()
    if not all(judge(each, floors=floors, gate=gate).outcome == "promote" for each in (good, first)):
        raise RuntimeError("refusals show nothing where the unspoilt input is not promoted")

    def judged(comparison: Comparison, **changes: Any) -> Callable[[], object]:
        return lambda: judge(comparison.model_copy(update=changes), floors=floors, gate=gate)

    def measured(labels: np.ndarray, scores: np.ndarray, predicted: np.ndarray) -> list[Callable[[], object]]:
        lengths, fine = np.ones_like(labels), labels.copy()
        return [
            lambda: expected_calibration_error(labels, scores),
            lambda: compare_accuracy("all", labels, predicted, fine, 0.95),
            lambda: compare_accuracy("all", labels, fine, predicted, 0.95),
            lambda: compare_slices(labels, lengths, predicted, fine, bands=BANDS, confidence=0.95),
            lambda: compare_slices(labels, lengths, fine, predicted, bands=BANDS, confidence=0.95),
        ]

    labels = np.tile(np.array([0, 1], dtype=np.int8), 50)
    wrong = [np.where(np.arange(100) == 7, number, labels) for number in (math.nan, math.inf, -math.inf, -0.1, 1.1)]
    classes = [np.full(100, label, dtype=np.int8) for label in (0, 1)]
    none = np.empty(0, dtype=np.int8)
    return {
        "a figure of the comparison that is NaN or infinite": [
            judged(Comparison.model_validate(values))
            for base in (good, first)
            for number in (math.nan, math.inf, -math.inf)
            for values in spoil(base.model_dump(mode="json"), number)
        ],
        "a part of the comparison that is missing": [
            *(judged(good, **{name: None}) for name in ("champion", "accuracy", "test", "p_value")),
            judged(good, slices=()),
        ],
        "a score or a predicted label that is none": [call for each in wrong for call in measured(labels, each, each)],
        "scores and labels of other rows": measured(labels, labels[:-1], labels[:-1]),
        "no gate rows": [*measured(none, none, none), judged(good, rows=0), judged(first, rows=0)],
        "gate rows of a single class": [call for each in classes for call in measured(each, each.astype(float), each)],
    }


def spoil(value: Any, number: float) -> Iterator[Any]:
    """Yield a value of nested dicts and lists with each of its floats, in turn, replaced."""
    if isinstance(value, float):
        yield number
    elif isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            for other in spoil(part, number):
                whole = value.copy()
                whole[key] = other
                yield whole


def is_refused(call: Callable[[], Any]) -> bool:
    """Tell whether a call raises one of the project's errors on its input, or keeps the champion."""
    try:
        return getattr(call(), "outcome", None) == "keep"
    except (InputError, ModelMismatch):
        return True
