from itertools import chain

import numpy as np
import pytest
import tensorflow as tf

from tasks.training.batches import WINDOW_BATCHES, Rows, draw_batches, training_batches, validation_batches

MAXLEN, BATCH = 12, 4


@pytest.fixture
def rows():
    """402 pre-padded rows whose labels are their own numbers; some were longer than they are wide."""
    lengths = np.random.default_rng(0).integers(1, MAXLEN + 5, 402).astype(np.int32)
    ids = np.where(np.arange(MAXLEN) >= MAXLEN - lengths[:, None], 7, 0).astype(np.uint16)
    return Rows(ids, lengths, np.arange(402))


def trim(ids):
    return ids[:, ids.any(axis=0).argmax() :]


def leave(ids):
    return ids


SIGNATURE = tf.TensorSpec([None, None], tf.uint16)
TRIMMED = {"bucketing": True, "read": trim, "signature": SIGNATURE}
WHOLE = {"bucketing": False, "read": leave, "signature": SIGNATURE}


def numbers(batches):
    return [labels.numpy().astype(int).tolist() for _, labels in batches]


@pytest.mark.parametrize("bucketing", [True, False])
def test_an_epoch_holds_every_row_once_in_an_order_of_seed_and_epoch(rows, bucketing):
    def draw(seed, epoch):
        drawn = draw_batches(rows.lengths, batch_size=BATCH, seed=seed, epoch=epoch, bucketing=bucketing)
        return [batch.tolist() for batch in drawn]

    first = draw(1, 0)
    assert sorted(chain.from_iterable(first)) == list(range(402))
    assert sorted(map(len, first)) == [2] + [BATCH] * 100
    assert draw(1, 0) == first
    assert draw(1, 1) != first != draw(2, 0)


def test_buckets_hold_rows_of_similar_length_in_no_order_of_length(rows):
    def spread(bucketing):
        drawn = draw_batches(rows.lengths, batch_size=BATCH, seed=0, epoch=0, bucketing=bucketing)
        return np.array([np.ptp(rows.lengths[batch]) for batch in drawn]), [rows.lengths[batch].mean() for batch in drawn]

    bucketed, means = spread(True)
    assert bucketed.mean() < 1 < spread(False)[0].mean()
    # Without the shuffling of batches, lengths would rise through each window of 50.
    assert abs(np.corrcoef(means[:WINDOW_BATCHES], range(WINDOW_BATCHES))[0, 1]) < 0.5


def test_training_batches_are_drawn_for_the_epoch_that_begins(rows):
    present = [0]
    batches = training_batches(rows, batch_size=BATCH, seed=3, epoch=lambda: present[0], **TRIMMED)
    assert len(batches) == 101
    for epoch in (0, 1, 0):
        present[0] = epoch
        drawn = draw_batches(np.minimum(rows.lengths, MAXLEN), batch_size=BATCH, seed=3, epoch=epoch, bucketing=True)
        assert numbers(batches) == [batch.tolist() for batch in drawn]


def test_padding_is_trimmed_where_a_way_is_given_and_left_otherwise(rows):
    options = {"batch_size": BATCH, "seed": 0, "epoch": lambda: 0}
    for ids, labels in training_batches(rows, **options, **TRIMMED):
        assert ids.shape[1] == min(MAXLEN, rows.lengths[labels.numpy().astype(int)].max())
        assert ids.dtype == np.uint16
    for ids, _ in training_batches(rows, **options, **WHOLE):
        assert ids.shape[1] == MAXLEN


def test_validation_batches_hold_every_row_once_and_know_their_number(rows):
    by_length, in_order = (validation_batches(rows, batch_size=BATCH, **way) for way in (TRIMMED, WHOLE))
    assert len(by_length) == len(in_order) == 101
    found = list(chain.from_iterable(numbers(by_length)))
    assert sorted(found) == list(range(402))
    assert np.all(np.diff(np.minimum(rows.lengths, MAXLEN)[found]) >= 0)
    assert list(chain.from_iterable(numbers(in_order))) == list(range(402))


def test_log_ratios_and_logits_come_with_the_ids_of_their_rows(rows):
    log_ratios = np.repeat(rows.labels[:, None, None], MAXLEN, axis=1).astype(np.float16)
    wide = rows._replace(ngrams=(log_ratios, rows.labels.astype(np.float32)))
    signature = (SIGNATURE, tf.TensorSpec([None, None, 1], tf.float16), tf.TensorSpec([None], tf.float32))
    reading = {"bucketing": True, "read": lambda *parts: parts, "signature": signature}
    for (ids, ratios, logits), labels in training_batches(wide, batch_size=BATCH, seed=0, epoch=lambda: 0, **reading):
        assert ids.shape == ratios.shape[:2] == (len(labels), MAXLEN)
        np.testing.assert_array_equal(ratios[:, 0, 0], labels)
        np.testing.assert_array_equal(logits, labels)
