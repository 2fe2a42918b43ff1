"""A corpus of short film reviews made up on the spot, so that everything can be tried with no data and no network.

A review has an opening, remarks on single aspects (mixed: some praise in a pan, some blame in a rave), perhaps a
concession ("despite the splendid cast, ..."), and a verdict. Praise and blame are also said by negation, and some words are
rare, so that neither single words nor pairs of words settle every review.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tasks.ingestion.corpus import Corpus

GENERATOR_VERSION = "1"
SEED = 1895
TRAIN_ROWS = 3_200
TEST_ROWS = 800
MIN_WORDS, MAX_WORDS = 10, 60

# Shares that make the corpus hard enough for linear models and easy enough for a small LSTM.
OPENED = 0.7
AGREEMENT = 0.7
NEGATING = 0.35
CONCEDING = 0.36
VERDICT_AFTER_CONCESSION = 0.55
RARE_SHARE = 0.25

# Index 0 blames, index 1 praises.
COMMON = (
    (
        "dull", "weak", "awful", "boring", "clumsy", "lazy", "bland", "terrible", "forgettable", "tedious",
        "messy", "flat", "silly", "poor", "hollow", "painful", "predictable", "lifeless", "shallow", "muddled",
    ),
    (
        "splendid", "strong", "lovely", "gripping", "graceful", "clever", "fresh", "wonderful", "memorable", "moving",
        "sharp", "warm", "witty", "fine", "honest", "delightful", "surprising", "lively", "subtle", "assured",
    ),
)  # fmt: skip
RARE = (
    (
        "soporific", "turgid", "ham-fisted", "insipid", "threadbare", "mawkish", "leaden", "vapid", "plodding", "cloying",
        "derivative", "anaemic", "stilted", "gormless", "risible", "drab", "shoddy", "tiresome", "witless", "dreary",
        "inane", "bloated", "creaky", "sluggish", "toothless", "unbearable", "wooden", "stale", "grating", "aimless",
    ),
    (
        "luminous", "beguiling", "masterly", "exquisite", "incisive", "sumptuous", "nimble", "rapturous", "deft", "tender",
        "inventive", "bewitching", "radiant", "stirring", "sublime", "poised", "dazzling", "fearless", "lyrical", "astute",
        "bracing", "sparkling", "humane", "riveting", "elegant", "captivating", "intricate", "haunting", "jubilant", "crisp",
    ),
)  # fmt: skip
ASPECTS = (
    "script", "cast", "plot", "ending", "score", "photography", "dialogue", "direction", "pacing", "editing", "lead",
    "villain", "first act", "second half", "humour", "romance", "costume work", "opening scene", "supporting cast",
    "camera work", "story", "soundtrack", "set design", "climax", "narration", "car chase", "final twist", "lighting",
)  # fmt: skip
FILMS = ("thriller", "comedy", "drama", "western", "musical", "mystery", "war film", "romance", "horror film", "documentary")
PEOPLE = ("my sister", "two friends", "my father", "a full house", "my neighbour", "the whole family", "nobody else", "my wife")
PLACES = ("in a tiny cinema", "on a long flight", "at a festival", "on late television", "on an old tape", "at the drive-in")
HEROES = (
    "a retired boxer", "a country doctor", "two stubborn brothers", "a runaway nun", "a small town sheriff", "a piano tuner",
    "a failed magician", "three bank clerks", "a lighthouse keeper", "a young widow", "a travelling salesman", "an exiled poet",
)  # fmt: skip
DEEDS = (
    "looks for a lost letter", "plans one last robbery", "comes home after the war", "inherits a haunted hotel",
    "falls for the wrong stranger", "tries to save the family farm", "learns to live with a secret", "hides from an old rival",
    "crosses the desert on foot", "takes a job on a night train",
)  # fmt: skip
OPENINGS = (
    "I saw this {film} {place} with {people}.",
    "This {film} follows {hero} who {deed}.",
    "Here {hero} {deed}, and that is most of the plot.",
    "We watched it {place} last {month}.",
    "It is a {film} about {hero} who {deed}.",
    "Another {film}, this time from {year}.",
    "{people} talked me into this {film}.",
    "Somebody gave me this {film} on disc, a copy from {year}.",
)
MONTHS = ("January", "March", "May", "June", "August", "October", "November", "winter", "summer", "week")
PLAIN = (
    "The {aspect} is {adjective}.",
    "I found the {aspect} {adjective}.",
    "The {aspect} feels {adjective} and the {other} {alike}.",
    "As for the {aspect}, it is {adjective}.",
    "The {aspect} was {adjective} from start to finish.",
    "Its {aspect} is {adjective}.",
    "The {aspect} seemed rather {adjective} to me.",
)
# Here {adjective} is of the opposite sense.
NEGATED = (
    "The {aspect} is not {adjective}.",
    "The {aspect} is hardly {adjective}.",
    "The {aspect} is far from {adjective}.",
    "Nobody could call the {aspect} {adjective}.",
    "I would not say that the {aspect} is {adjective}.",
    "The {aspect} was never {adjective}, not even for a minute.",
    "The {aspect} is anything but {adjective}.",
)
# {against} has the opposite sense of the review, {adjective} its own.
CONCESSIONS = (
    "Despite the {against} {aspect}, the whole is {adjective}.",
    "The whole is {adjective}, despite the {against} {aspect}.",
    "For all its {against} {aspect}, it stays {adjective} to the end.",
    "It stays {adjective} to the end, for all its {against} {aspect}.",
    "The {aspect} may be {against}, but the film is {adjective}.",
    "The film is {adjective}, even if the {aspect} is {against}.",
    "Yes, the {aspect} is {against} and the {other} {against2}, and still the film is {adjective}.",
    "It could have been {against}; instead it is {adjective}.",
    "It is {adjective}, where it could have been {against}.",
    "People say it is {against}, but they are wrong, it is {adjective}.",
    "It is {adjective}, and those who say it is {against} are wrong.",
    "Although the {aspect} is {against} and the {other} {against2}, what remains is {adjective}.",
)
VERDICTS = (
    (
        "I want my evening back.",
        "Give this one a miss.",
        "I would not watch it again for money.",
        "It is not worth a single minute of your time.",
        "I can not recommend it to anyone.",
        "It had everything and did nothing with it.",
        "In the end it left me cold.",
        "I hoped to love it and I did not.",
        "We left before the credits, and we were not the first.",
        "My advice is to read the book and skip the film.",
        "It will not stay with me.",
        "All in all {a_adjective} film.",
        "On the whole {adjective}, sad to say.",
    ),
    (
        "I want to see it again this evening.",
        "Do not give this one a miss.",
        "I would watch it again without being paid a cent of money.",
        "It is worth every single minute of your time.",
        "I can not recommend it enough to anyone.",
        "It had nothing and did everything with it.",
        "In the end it did not leave me cold.",
        "I hoped to hate it and I did not.",
        "We stayed for the credits, and we were not the last.",
        "My advice is to skip the book and see the film.",
        "It will stay with me.",
        "All in all {a_adjective} film.",
        "On the whole {adjective}, glad to say.",
    ),
)


def generate_sample() -> Corpus:
    """Return the corpus: 3,200 train and 800 test rows, half positive, no text twice, always the same."""
    rng = np.random.default_rng(SEED)
    seen: set[str] = set()
    texts, labels = [], []
    for rows in (TRAIN_ROWS, TEST_ROWS):
        labels.append(rng.permutation(np.repeat(np.array([0, 1], dtype=np.int8), rows // 2)))
        texts.append(pa.array([_write_new_review(rng, int(label), seen) for label in labels[-1]], pa.string()))
    splits = np.repeat(np.array(["train", "test"], dtype=object), [TRAIN_ROWS, TEST_ROWS])
    return Corpus(texts, np.concatenate(labels), splits)


def _write_new_review(rng: np.random.Generator, label: int, seen: set[str]) -> str:
    while True:
        text = _write_review(rng, label)
        if MIN_WORDS <= len(text.split()) <= MAX_WORDS and text not in seen:
            seen.add(text)
            return text


def _write_review(rng: np.random.Generator, label: int) -> str:
    remarks = 1 + int(rng.random() * 4)
    sentences = [_write_remark(rng, label if rng.random() < AGREEMENT else 1 - label) for _ in range(remarks)]
    concedes = rng.random() < CONCEDING
    if concedes:
        sentences.append(_write_concession(rng, label))
    if rng.random() < OPENED:
        sentences.insert(0, _write_opening(rng))
    if not concedes or rng.random() < VERDICT_AFTER_CONCESSION:
        sentences.append(_write_verdict(rng, label))
    return " ".join(sentences)


def _write_opening(rng: np.random.Generator) -> str:
    scene = {"film": FILMS, "people": PEOPLE, "place": PLACES, "hero": HEROES, "deed": DEEDS, "month": MONTHS}
    drawn = {name: _pick(rng, choices) for name, choices in scene.items()}
    return _capitalize(_pick(rng, OPENINGS).format(year=1931 + int(rng.random() * 90), **drawn))


def _write_remark(rng: np.random.Generator, sense: int) -> str:
    negated = rng.random() < NEGATING
    said = 1 - sense if negated else sense
    aspect, other = _pick_aspects(rng)
    adjective, alike = _pick_adjective(rng, said), _pick_adjective(rng, said)
    return _pick(rng, NEGATED if negated else PLAIN).format(aspect=aspect, other=other, adjective=adjective, alike=alike)


def _write_concession(rng: np.random.Generator, label: int) -> str:
    aspect, other = _pick_aspects(rng)
    against, against2 = _pick_adjective(rng, 1 - label), _pick_adjective(rng, 1 - label)
    return _pick(rng, CONCESSIONS).format(
        aspect=aspect, other=other, adjective=_pick_adjective(rng, label), against=against, against2=against2
    )


def _write_verdict(rng: np.random.Generator, label: int) -> str:
    adjective = _pick_adjective(rng, label)
    article = "an" if adjective[0] in "aeiou" else "a"
    return _pick(rng, VERDICTS[label]).format(adjective=adjective, a_adjective=f"{article} {adjective}")


def _pick_aspects(rng: np.random.Generator) -> tuple[str, str]:
    first = int(rng.random() * len(ASPECTS))
    second = (first + 1 + int(rng.random() * (len(ASPECTS) - 1))) % len(ASPECTS)
    return ASPECTS[first], ASPECTS[second]


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.random() * len(choices))]


def _pick_adjective(rng: np.random.Generator, sense: int) -> str:
    return _pick(rng, RARE[sense] if rng.random() < RARE_SHARE else COMMON[sense])


def _capitalize(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
