"""What a client may ask and is answered, with the limits of each field."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from tasks.scoring.scores import MAX_CHARACTERS

MAX_TEXTS = 256
MOST_FAULTS = 300
LONGEST_NAME = 80


def _refuse_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "the text is blank")
    return text


Text = Annotated[
    str,
    Field(min_length=1, max_length=MAX_CHARACTERS, json_schema_extra={"pattern": r"\S"}),
    AfterValidator(_refuse_blank),
]


class Asked(BaseModel):
    """Base of what a client asks: known names and right types alone."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Texts(Asked):
    """Reviews to be scored."""

    texts: Annotated[list[Text], Field(min_length=1, max_length=MAX_TEXTS, examples=[["A wonderful film."]])]


class OneText(Asked):
    """A review to be explained."""

    text: Annotated[Text, Field(examples=["A wonderful film."])]


class ScoredText(BaseModel):
    """The probability of label 1, and the label: 1 from the model's threshold on, else 0."""

    probability: Annotated[float, Field(ge=0, le=1)]
    label: Annotated[int, Field(ge=0, le=1)]


class Predictions(BaseModel):
    """A prediction for each text, in their order, all of one version."""

    model: str
    version: str
    predictions: list[ScoredText]


class Word(BaseModel):
    """A word of the text, from character `start` up to `end`, counted in Unicode code points.

    `without` is the probability of the text without this word, `change` what the word adds to it.
    """

    start: int
    end: int
    known: bool
    without: float
    change: float


class Explanation(ScoredText):
    """A prediction, and what each word adds to its probability."""

    model: str
    version: str
    words: list[Word]


class Health(BaseModel):
    """The process answers; `token` tells whether it asks for one."""

    alive: bool
    token: bool


class Ready(BaseModel):
    """A model is loaded and warm."""

    ready: bool


class LastTrouble(BaseModel):
    """Why what is served may not be what should be, since when, and which version it is about, where that is known."""

    since: datetime
    version: str | None
    reason: str


class ServedVersion(BaseModel):
    """What is served, and whether it is what should be."""

    model: str
    version: str
    follows: str
    files_sha256: str
    weights_sha256: str
    loaded: datetime
    trouble: LastTrouble | None


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str


class Fault(BaseModel):
    """What is wrong, and where: `["body", "texts", 3]` is the fourth text."""

    loc: list[str | int]
    msg: str
    type: str


class Faults(BaseModel):
    """All that is wrong with what was asked, or how much, where it is very much."""

    detail: list[Fault]


Question = TypeVar("Question", bound=Asked)


class Malformed(Exception):
    """What was asked is not what can be."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        """Take what is wrong."""
        super().__init__()
        self.faults = faults


def parse(body: bytes, kind: type[Question]) -> Question:
    """Return what a body of JSON asks.

    Raises:
        Malformed: it is no JSON, or not of this kind; what it says itself is not repeated, but for the names of unknown fields.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        if error.error_count() > MOST_FAULTS:  # to tell each takes seconds, where it is 400,000
            told = f"{error.error_count():,} faults: they are told where there are at most {MOST_FAULTS}"
            raise Malformed([Fault(loc=["body"], msg=told, type="too_many_faults")]) from None
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise Malformed([Fault(loc=_place(one["loc"]), msg=one["msg"], type=one["type"]) for one in found]) from None


def _place(loc: Sequence[Any]) -> list[str | int]:
    return ["body", *(part if isinstance(part, int) else str(part)[:LONGEST_NAME] for part in loc)]
