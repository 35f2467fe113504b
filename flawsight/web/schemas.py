"""The shapes of the API: what programs send and get, as pydantic models.

They describe; the views and the rooms above check what arrives, since their messages say what to do next.
A field with a default may be left out. What has an example stands in the examples of the page, whether it
has to be sent or only mostly is. Imported only where the description is made.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
Pixel = Annotated[int, Field(ge=0)]
Verdict = Literal["accept", "review", "reject", "unknown"]
Address = Annotated[str, Field(description="A path on this server.")]
Disposition = Literal["", "use_as_is", "rework", "repair", "scrap", "return"]
ContextText = Annotated[str, Field(max_length=80)]
Photo = Annotated[
    bytes,
    Field(
        description="PNG, JPEG, WebP, BMP, TIFF or GIF.",
        examples=["part.jpg"],
        json_schema_extra={"contentMediaType": "application/octet-stream"},
    ),
]
Why = Annotated[str, Field(min_length=1, max_length=500, description="Kept in the log.")]
Name = Annotated[
    str,
    Field(max_length=80, examples=["A. Kern"], description="Who does it; else it is who is signed in."),
]


class Problem(BaseModel):
    """What went wrong (RFC 9457), and what to do next."""

    type: Address = Field(description="A page of this server that explains `code`.")
    title: str
    status: int
    detail: str = Field(description="What is wrong here, and what to do next.")
    instance: str = Field(description="The address that was asked.")
    code: str = Field(description="Stable text for programs.")


# --- inspections ----------------------------------------------------------------------------------------


class Context(BaseModel):
    """What is known about the part; every field may be left out."""

    part_number: ContextText = ""
    part_revision: ContextText = ""
    lot: ContextText = ""
    serial: ContextText = ""
    site: ContextText = ""
    line: ContextText = ""
    station: ContextText = ""
    inspector: ContextText = ""
    inspection_type: ContextText = ""


class Upload(Context):
    """A form: the image, and what is known about the part."""

    file: Photo
    product: str = Field("", description="Key of the model on the bench to ask, or `auto`; empty: the first.")


class Box(BaseModel):
    """Half-open pixels of the original image: `x1` and `y1` belong to it, `x2` and `y2` do not."""

    x1: Pixel
    y1: Pixel
    x2: Pixel
    y2: Pixel
    class_id: str = Field(alias="class")


class FoundBox(Box):
    score: Share


class Image(BaseModel):
    name: str
    path: str | None
    sha256: Sha256
    width: int
    height: int


class Heatmap(BaseModel):
    class_id: str = Field(alias="class")
    peak: list[int] = Field(description="x and y in the original image.")
    peak_score: float
    method: str


class Thresholds(BaseModel):
    accept_below: float
    reject_from: float


class ModelInfo(BaseModel):
    name: str
    version: str
    sha256: str


class Quality(BaseModel):
    sharpness: float | None
    brightest: float
    darkest: float
    warnings: list[str]


class InspectionLinks(BaseModel):
    self: Address
    page: Address
    pdf: Address
    json_address: Address = Field(alias="json")
    thumbnail: Address
    pictures: dict[str, Address]


class Inspection(BaseModel):
    """What was found, as filed."""

    schema_name: Literal["flawsight.inspection/1"] = Field(alias="schema")
    id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    number: str
    created_at: datetime
    record_sha256: Sha256
    image: Image
    verdict: Verdict
    headline: str = Field(
        "", description="The model's verdict in a few words, in the language of whoever asks; not filed."
    )
    reason: str
    predicted_class: str
    confidence: Share
    defect_probability: Share
    probabilities: dict[str, float]
    boxes: list[FoundBox]
    heatmap: Heatmap
    thresholds: Thresholds
    model: ModelInfo
    method: dict[str, Any]
    timing_ms: dict[str, float]
    quality: Quality | None = None
    context: Context = Context()
    review: Review | None = Field(None, description="The latest answer of a person: it counts.")
    links: InspectionLinks


class EntryLinks(BaseModel):
    self: Address
    page: Address
    reviews: Address


class Entry(BaseModel):
    """One line of the history."""

    id: str
    number: str
    created_at: datetime
    name: str
    verdict: Verdict
    predicted_class: str
    confidence: Share
    part_number: str
    lot: str
    serial: str
    model: str
    review_state: Literal["none", "confirmed", "corrected"]
    final_verdict: Verdict = Field(description="What counts: the latest of a person, else the model's.")
    final_class: str
    disposition: Disposition
    inspector: str
    station: str
    links: EntryLinks


class HistoryFilter(BaseModel):
    q: str = Field(
        "",
        description="What the number, part, lot, serial number or file name begins with; digits alone are "
        "also a running number.",
    )
    since: date | None = Field(None, alias="from", description="Filed on this day or later.")
    until: date | None = Field(None, alias="to", description="Filed on this day or before.")
    part: str = ""
    lot: str = ""
    class_id: str = Field("", alias="class")
    verdict: Verdict | None = Field(None, description="The model's.")
    final: Verdict | None = Field(None, description="The verdict that counts: a person's, else the model's.")
    disposition: Literal["use_as_is", "rework", "repair", "scrap", "return"] | None = None
    low: Percent | None = Field(
        None, alias="min", description="Least confidence of the model; an unknown part has none."
    )
    high: Percent | None = Field(
        None, alias="max", description="Highest confidence of the model; an unknown part has none."
    )
    review: Literal["none", "confirmed", "corrected"] | None = None
    model: str = Field("", description="Name and version.")
    numbers: str = Field("", description="Numbers, or runs of them: `INSP-2026-000012..000015, 000017`.")
    inspector: str = ""
    station: str = ""
    order: Literal["newest", "oldest", "least_confident", "most_confident"] = "newest"


class HistoryQuery(HistoryFilter):
    after: str = Field("", description="As the link `next` has it.")
    before: str = Field("", description="As the link `previous` has it.")


class HistoryPage(BaseModel):
    inspections: list[Entry]
    count: int
    count_is_complete: bool = Field(description="If false, there are more than `count`.")
    next: Address | None
    previous: Address | None


class ExportedInspection(Inspection):
    """The same with what people answered, first to latest: the latest counts."""

    reviews: list[Review]


class HistoryExport(BaseModel):
    schema_name: Literal["flawsight.history/1"] = Field(alias="schema")
    inspections: list[ExportedInspection]


class Explanation(BaseModel):
    class_id: str = Field(alias="class")
    title: str
    probability: float | None
    model: ModelInfo
    note: str
    maps: list[dict[str, Any]] = Field(description="Each with method, peak, and `layer`, a PNG in base 64.")


class Answers(BaseModel):
    answers: list[dict[str, Any]] = Field(description="Each with `label`, and `inspection` or `problem`.")


class AnswersQuery(BaseModel):
    comparison: str = Field("", description="A comparison of networks, instead of the installed models.")


# --- reviews --------------------------------------------------------------------------------------------


class NewReview(BaseModel):
    """What a person says. `boxes` only on a rejected part."""

    reviewer: Name = ""
    verdict: Literal["accept", "reject", "unknown"]
    class_id: str = Field(
        "",
        alias="class",
        max_length=80,
        examples=["MT_Free"],
        description="Needed unless the verdict is `unknown`.",
    )
    boxes: list[Box] = []
    disposition: Disposition = ""
    rationale: str = Field("", max_length=2000)


class Review(NewReview):
    created_at: datetime
    state: Literal["confirmed", "corrected"]


class ReviewList(BaseModel):
    reviews: list[Review]


class ReviewQueue(HistoryPage):
    """A page of what nobody has answered, least certain first."""


class QueueQuery(BaseModel):
    show: Literal["all", "undecided"] = Field(
        "all", description="`undecided`: what the model left to a person."
    )
    after: str = Field("", description="As the link `next` has it.")
    before: str = Field("", description="As the link `previous` has it.")


class CorrectionsQuery(BaseModel):
    everything: str = Field("", alias="all", description="`all=1` also takes what people confirmed.")


# --- retention ------------------------------------------------------------------------------------------


class Rule(BaseModel):
    days: int = Field(ge=0, le=36_500, examples=[365], description="What is older than so many days may go.")
    which: Literal["accepted", "all"] = "accepted"


class Matching(Rule):
    inspections: int = Field(description="So many would be deleted now.")
    in_closed_lots: int = Field(description="Of these, parts of closed lots, whose reports then lack them.")
    closed_lots: int = Field(description="Of so many lots.")
    kept_in_open_lots: int = Field(description="Old enough, but of open lots: these stay.")


class Deletion(Rule):
    created_at: datetime
    by: str
    inspections: int
    first_number: str
    last_number: str


class DeletionList(BaseModel):
    deletions: list[Deletion]


# --- lots -----------------------------------------------------------------------------------------------


class NewLot(BaseModel):
    number: str = Field(min_length=1, examples=["L-42"])
    size: int = Field(ge=2, examples=[500], description="Parts in the lot.")
    level: Literal["I", "II", "III"] = Field("II", description="General inspection level of ISO 2859-1.")
    limits: dict[str, str] = Field({}, description="Severity (critical, major, minor, …) to AQL, or `none`.")
    drawn: str = "random"
    part_number: str = ""
    part_revision: str = ""
    supplier: str = ""
    by: Name = ""


class LotFigures(BaseModel):
    decision: str
    sample: int
    inspected: int
    undecided: int
    parts: int
    good: int
    nonconforming: int
    severities: list[dict[str, Any]]
    pareto: list[dict[str, Any]]


class LotLine(BaseModel):
    schema_name: Literal["flawsight.lot/1"] = Field(alias="schema")
    id: int
    report_number: str
    state: str
    number: str
    size: int
    level: str
    limits: dict[str, str]
    part_number: str
    part_revision: str
    supplier: str
    drawn: str
    events: list[dict[str, Any]]
    figures: LotFigures
    links: dict[str, Address]


class Lot(LotLine):
    record_sha256: Sha256
    parts: list[dict[str, Any]]
    left_out: list[str]
    deleted: list[dict[str, Any]] = Field(description="What retention rules took of it since its closing.")


class LotPage(BaseModel):
    lots: list[LotLine]
    count: int
    count_is_complete: bool
    next: Address | None
    previous: Address | None


class LotQuery(BaseModel):
    q: str = Field("", description="What lot number, part number or supplier begins with.")
    state: str = ""
    part: str = ""
    after: str = Field("", description="As the link `next` has it.")
    before: str = Field("", description="As the link `previous` has it.")


class LotDecision(BaseModel):
    decision: Literal["accept", "reject", "withdraw"] = Field(examples=["withdraw"])
    rationale: str = Field(
        "", examples=["Sent back unopened"], description="Needed where the plans do not say the same."
    )
    by: Name = ""


class LotDisposition(BaseModel):
    disposition: Literal["accept", "reject", "rework", "sort"] = Field(examples=["sort"])
    rationale: str = Field(min_length=1, examples=["Only one tray is affected"])
    containment: str = ""
    reference: str = ""
    by: Name = ""


class TrendQuery(BaseModel):
    part: str = Field("", description="Part number.")


class Trend(BaseModel):
    centre: float | None
    provisional: bool
    lots: list[dict[str, Any]]


# --- trust ----------------------------------------------------------------------------------------------


class Check(BaseModel):
    """A run that may still go on."""

    kind: str
    by: str
    running: bool
    done: int
    total: int
    phase: str
    passed: bool | None
    started_at: datetime
    finished_at: datetime | None
    result: dict[str, Any]


class ChainHead(BaseModel):
    link: int
    hash: str


class Chain(BaseModel):
    head: ChainHead = Field(description="To be kept elsewhere: it stands for all that was filed up to it.")
    check: Check | None


class GoldenPart(BaseModel):
    id: int
    title: str
    verdict: str
    class_id: str = Field(alias="class")
    image_sha256: Sha256
    source: str
    template: str = Field(description="Name of the template that it is held against; empty without one.")
    added_at: datetime
    added_by: str


class AddedGoldenPart(GoldenPart):
    comes_out: dict[str, Any] = Field(
        description="How it comes out now; `passed` says whether that is right."
    )


class GoldenPhoto(Check):
    """A fresh photo of a golden part; `result` has what came out, and figures beside the stored picture's."""

    id: int
    picture: Address


class KeptGoldenPart(GoldenPart):
    photo: GoldenPhoto | None = Field(description="The latest one.")


class Removal(BaseModel):
    title: str
    by: str
    at: datetime
    why: str


class Golden(BaseModel):
    required: bool
    locked: bool
    reason: str
    parts: list[KeptGoldenPart]
    removed: list[Removal] = Field(description="Parts that are checked no more, latest first.")
    check: Check | None = Field(description="The latest check of the stored pictures.")


class NewGoldenPhoto(BaseModel):
    """A form: a photo of the part that was taken now."""

    file: Photo


class RemovalQuery(BaseModel):
    why: Why = Field(examples=["Worn"])


class NewGoldenPart(BaseModel):
    """A form: a picture, or an inspection of the history, and what must be said of it."""

    file: Photo = b""
    inspection: str = Field("", description="Its number, instead of a file.")
    title: str = ""
    verdict: Literal["accept", "reject"]
    class_id: str = Field("", alias="class", description="The class it must get; empty is any.")


class Override(BaseModel):
    rationale: str = Field(min_length=10, max_length=500, examples=["The camera is being changed."])


class DaysQuery(BaseModel):
    since: date | None = Field(None, alias="from")
    until: date | None = Field(None, alias="to")


class Agreement(BaseModel):
    since: datetime = Field(alias="from")
    until: datetime = Field(alias="to")
    answered: int
    filed: dict[str, int]
    answered_by_verdict: dict[str, int]
    confusion: list[dict[str, Any]]
    kappa_of_verdicts: dict[str, Any] | None
    kappa_of_classes: dict[str, Any] | None
    miss_rate: dict[str, Any]
    miss_rate_corrected: float | None
    false_alarm_rate: dict[str, Any]
    classes: list[dict[str, Any]]
    warnings: list[str]


class DriftQuery(BaseModel):
    n: int | None = Field(None, ge=1, description="How many of the latest inspections.")


class Drift(BaseModel):
    inspections: int
    since: datetime | None = Field(alias="from")
    until: datetime | None = Field(alias="to")
    reference: str | None
    figures: dict[str, dict[str, Any]]
    classes: dict[str, Any] | None
    classes_against_validation: dict[str, Any] | None


# --- models ---------------------------------------------------------------------------------------------


class Model(BaseModel):
    key: str
    name: str | None
    version: str | None
    backbone: str | None
    classes: list[str]
    sha256: str
    size: int
    shipped: bool
    problem: str | None
    active: bool
    shadow: bool
    thresholds: Thresholds | None
    thresholds_moved: dict[str, Any] | None
    links: dict[str, Address]


class MeasuredModel(Model):
    test: dict[str, Any]
    charts: dict[str, str] = Field(description="Name of each chart to its address.")


class ModelList(BaseModel):
    models: list[Model]
    bench: list[str] = Field(description="Keys of the models that answer, the first by default.")
    shadow: str | None


class ModelUpload(BaseModel):
    """A form: the ONNX file, and why it is installed."""

    file: Annotated[
        bytes,
        Field(examples=["model.onnx"], json_schema_extra={"contentMediaType": "application/octet-stream"}),
    ]
    results: Annotated[
        bytes, Field(json_schema_extra={"contentMediaType": "application/json"}, description="Its results.")
    ] = b""
    why: Why = Field(examples=["Trained with more cracks"])


class ModelChange(BaseModel):
    do: Literal["switch", "add", "take_off", "shadow", "end_shadow", "thresholds", "reset", "remove"]
    why: Why = Field(examples=["Fewer escapes on line 3"])
    accept_below: str = Field("", description="From 0 to 1; `thresholds` needs it.")
    reject_from: str = Field("", description="From 0 to 1; `thresholds` needs it.")


class RollBack(BaseModel):
    why: Why = Field(examples=["Too many good parts refused"])


class ModelChanges(BaseModel):
    changes: list[dict[str, Any]]


class PointQuery(BaseModel):
    accept: str = Field("", description="Accept below, from 0 to 1.")
    reject: str = Field("", description="Reject from, from 0 to 1.")
    escape: str = Field("", description="Price of a defect that passes.")
    overkill: str = Field("", description="Price of a good part refused.")
    review: str = Field("", description="Price of a second look.")
    prevalence: str = Field("", description="Percent of parts that are defective.")
    dataset: str = ""
    cheapest: str = Field("", description="`1` looks for the cheapest thresholds.")


class Shadow(BaseModel):
    model: str | None
    since: datetime | None = None
    answered: int = 0
    inspections: int = 0
    disagreed: int = 0
    only_main_right: int = 0
    only_shadow_right: int = 0
    p: float | None = None
    disagreements: list[dict[str, Any]] = []


class Comparisons(BaseModel):
    comparisons: list[dict[str, Any]]


# --- templates ------------------------------------------------------------------------------------------


class TemplateChange(BaseModel):
    id: int
    at: datetime
    by: str
    kind: Literal["kept", "removed"]
    part_number: str
    part_revision: str = Field(description="Empty: any.")
    name: str = Field(description="What the sender called the picture.")
    image_sha256: str


class Template(TemplateChange):
    """A picture of a good part that parts of its number are held against."""

    picture: Address


class TemplateList(BaseModel):
    templates: list[Template] = Field(description="Those that hold.")
    changes: list[TemplateChange] = Field(description="The latest first.")


class NewTemplate(BaseModel):
    """A form: the picture of a good part or an inspection of one, and which part it is."""

    file: Photo = b""
    inspection: str = Field("", description="Its number, instead of a file.")
    part_number: str = Field(min_length=1, max_length=80, examples=["B-4711"])
    part_revision: str = Field("", max_length=80, description="Empty: any.")
    anyway: Literal["", "1"] = Field(
        "", description="`1`: a person knows that the picture can be a template, whatever the model says."
    )


# --- health ---------------------------------------------------------------------------------------------


class Health(BaseModel):
    status: Literal["ok"]


class Readiness(BaseModel):
    status: Literal["ok", "unavailable"]
    model: ModelInfo | None
    problem: str | None
