"""The notebook's model through PyTorch's `nn.LSTM` and a plain loop. Needs PyTorch alone."""

import sys
from pathlib import Path

import numpy as np
import torch
from contender import Split, read_split, serve

BATCH = 128


class Classifier(torch.nn.Module):
    """Embedding 5000 x 15, LSTM 10, one logit."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.embedding = torch.nn.Embedding(5000, 15)
        self.lstm = torch.nn.LSTM(15, 10, batch_first=True)
        self.logit = torch.nn.Linear(10, 1)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return logits (rows,) of ids (rows, steps)."""
        _, (h, _) = self.lstm(self.embedding(ids))
        return self.logit(h[0])[:, 0]


def main(folder: Path) -> None:
    """Serve an epoch of training with its validation, and a prediction of the test rows."""
    train, validation, test = (read_split(folder, name) for name in ("train", "validation", "test"))
    torch.manual_seed(0)
    model = Classifier()
    adam = torch.optim.Adam(model.parameters())

    def epoch() -> None:
        fit(model, adam, train)
        score(model, validation, BATCH)

    serve(epoch=epoch, predict=lambda: score(model, test, 512))


def fit(model: Classifier, adam: torch.optim.Optimizer, train: Split) -> None:
    """Train for one epoch."""
    loss = torch.nn.BCEWithLogitsLoss()
    order = np.random.default_rng(0).permutation(len(train.ids))
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        adam.zero_grad()
        loss(model(torch.from_numpy(train.ids[rows])), torch.from_numpy(train.labels[rows])).backward()
        adam.step()


@torch.no_grad()
def score(model: Classifier, split: Split, batch: int) -> list[torch.Tensor]:
    """Return the probabilities of all rows, batch by batch."""
    starts = range(0, len(split.ids), batch)
    return [torch.sigmoid(model(torch.from_numpy(split.ids[start : start + batch]))) for start in starts]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
