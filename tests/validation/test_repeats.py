"""Marks of repetition against a plain reading of what they mean."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tasks.text_digests import digest_texts
from tasks.validation.repeats import NO_TEXT, find_conflicts, find_leaks, find_repeats, number_texts

ROW = st.tuples(st.sampled_from(["a", "b", "c", "d", None]), st.sampled_from([0.0, 1.0, np.nan]), st.booleans())


@given(st.lists(ROW))
def test_marks_are_what_they_say(rows):
    texts = [text for text, _, _ in rows]
    labels = np.array([label for _, label, _ in rows])
    of_test = np.array([test for _, _, test in rows], dtype=bool)
    usable = np.array([text is not None for text in texts], dtype=bool)
    numbers = number_texts(digest_texts(pa.array(texts, pa.string()), usable))
    assert ((numbers == NO_TEXT) == ~usable).all()

    seen = list(enumerate(rows))
    repeats = [any(r[0] == o[0] and r[2] == o[2] for _, o in seen[:i]) and r[0] is not None for i, r in seen]
    leaks = [r[2] and r[0] is not None and any(r[0] == o[0] and not o[2] for o in rows) for r in rows]
    conflicts = [r[0] is not None and any(r[0] == o[0] and {r[1], o[1]} == {0.0, 1.0} for o in rows) for r in rows]
    assert find_repeats(numbers, of_test).tolist() == repeats
    assert find_leaks(numbers, of_test, ~of_test).tolist() == leaks
    assert find_conflicts(numbers, labels).tolist() == conflicts
