import pytest

from tasks.scoring.scores import MAX_CHARACTERS
from tasks.serving.messages import MAX_TEXTS, MOST_FAULTS, Malformed, OneText, Texts, parse


def faults(body, kind=Texts):
    with pytest.raises(Malformed) as caught:
        parse(body, kind)
    return [(one.loc, one.msg, one.type) for one in caught.value.faults]


def test_what_is_asked_is_taken_as_it_is():
    assert parse(b'{"texts": ["a \\u00e9 \\ud83d\\ude00", " b "]}', Texts).texts == ["a é 😀", " b "]
    assert parse(b'{"text": "a"}', OneText).text == "a"


@pytest.mark.parametrize("blank", ["", " ", "\\t\\n", "\\u001c", "\\u3000"])
def test_a_blank_text_is_named_by_its_index(blank):
    (fault,) = faults(f'{{"texts": ["a", "{blank}", "b"]}}'.encode())
    assert fault[0] == ["body", "texts", 1]


def test_each_wrong_text_is_named():
    found = faults(b'{"texts": ["a", 3, null, " ", ["b"]]}')
    assert [one[0][2] for one in found] == [1, 2, 3, 4]


def test_a_text_may_be_long_and_no_longer():
    assert parse(b'{"texts": ["%s"]}' % (b"a" * MAX_CHARACTERS), Texts)
    (fault,) = faults(b'{"texts": ["%s"]}' % (b"a" * (MAX_CHARACTERS + 1)))
    assert fault[0] == ["body", "texts", 0]
    assert "100000 characters" in fault[1]


@pytest.mark.parametrize("number", [0, MAX_TEXTS + 1])
def test_texts_are_neither_none_nor_too_many(number):
    (fault,) = faults(b'{"texts": [%s]}' % b",".join([b'"a"'] * number))
    assert fault[0] == ["body", "texts"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"null", b"[]", b'"a"', b"{}", b"\xff", b'{"texts": "a"}', b'{"texts": ["\\ud800"]}', b'{"texts": [NaN]}'],
)
def test_what_is_no_question_is_refused(body):
    assert faults(body)


def test_a_nest_of_lists_is_refused():
    assert faults(b"[" * 100_000)


@pytest.mark.parametrize(
    "body", [b'{"texts": [["a secret review"]]}', b'{"texts": {"text": "a secret review"}}', b'{"texts": ["a secret review]}']
)
def test_what_was_written_is_not_repeated(body):
    assert "secret" not in str(faults(body))


def test_a_field_that_nobody_knows_is_named_in_short():
    ((loc, _, kind),) = faults(b'{"texts": ["a"], "%s": 1}' % (b"x" * 1000))
    assert (loc, kind) == (["body", "x" * 80], "extra_forbidden")


def test_very_many_faults_are_counted_and_not_told():
    def unknown(number):
        return b'{"texts": ["a"], %s}' % b",".join(b'"k%d": 1' % each for each in range(number))

    assert len(faults(unknown(MOST_FAULTS))) == MOST_FAULTS
    assert faults(unknown(10_000)) == [
        (["body"], "10,000 faults: they are told where there are at most 300", "too_many_faults")
    ]
