"""The data protection sheet of a study: which data flow where, who sees what, what is not protected, and whose duty.

For data protection officers and ethics boards, from the run's own disclosure statement and model. It states facts about
the processing and is no legal advice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fedsec.agreement import agreement_file
from fedsec.agreement.agreement_file import Agreement
from fedsec.disclosure import DISCLOSURE, Statement
from fedsec.errors import ConfigurationError
from fedsec.learning import trained_model
from fedsec.learning.trained_model import TrainedModel
from fedsec.report import output, units
from fedsec.report.run_document import AGREEMENT, RESULT, RunDocument
from fedsec.report.short_document import Part

NAMED = 24
"""How many predictors are named."""


WORDS = {
    "statistics": "how many values each column has, their means, spreads and categories, and the classes of the label",
    "train": "the mean loss",
    "evaluate": "how well the model does: loss, correct and wrong predictions, histograms of predicted scores",
}
"""What the metrics of this app's stages are."""


@dataclass(frozen=True)
class Sheet:
    """The sheet as parts, which PDF and Markdown are made of."""

    title: str
    lead: str
    parts: tuple[Part, ...]

    def markdown(self) -> str:
        """The same as a text."""
        lines = [f"# {self.title}", "", self.lead, ""]
        for part in self.parts:
            lines += [f"## {part.title}", ""]
            lines += [line for text in part.paragraphs for line in (text, "")]
            lines += [*(f"- {text}" for text in part.points), *([""] if part.points else [])]
            if part.table:
                head, *rows = ([cell.replace("|", "\\|") for cell in row] for row in part.table)
                lines += [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)] + [""]
        return "\n".join(lines).rstrip() + "\n"


def sheet(folder: Path) -> Sheet:
    """The sheet of a run's folder; raises ConfigurationError where the folder lacks what it is made of."""
    path = folder / DISCLOSURE
    if not path.is_file():
        raise ConfigurationError(f"{folder} has no {DISCLOSURE}: name the folder of a finished run")
    stated, trained = output.read(path, Statement, "a disclosure statement"), trained_model.read(folder)
    simulated = output.read(folder / RESULT, RunDocument, "a run") if (folder / RESULT).is_file() else None
    agreed = agreement_file.read(folder / AGREEMENT) if (folder / AGREEMENT).is_file() else None
    label = trained.schema.label
    title = f"Data protection sheet: predicting {label.name}"
    what = (
        "This study was simulated on one machine: no hospital sent anything. The sheet says what would hold if these "
        "hospitals ran it as it was set."
        if simulated is not None
        else "The sheet says what held in this study."
    )
    return Sheet(
        title,
        f"{what} It describes the processing in plain words for data protection officers and ethics boards. It is no "
        "legal advice, and fedsec is research software that nobody outside of the project has audited.",
        (
            Part("What is computed, and from which data", points=tuple(_purpose(trained, stated))),
            Part("Which data flow where", table=tuple(_flows(stated)), widths=(0.2, 0.42, 0.38)),
            Part("Who sees what", table=tuple(_seen(stated)), widths=(0.2, 0.8)),
            Part("Whose promise this rests on", points=tuple(_trust(stated))),
            Part("What is not protected", points=tuple(_left(stated))),
            Part("Roles and duties under the GDPR, as a starting point", points=tuple(_roles(stated, agreed))),
            Part("Where this stands", points=tuple(_made(trained, stated, agreed, simulated))),
        ),
    )


def _purpose(trained: TrainedModel, stated: Statement) -> Iterator[str]:
    label, columns = trained.schema.label, [column.name for column in trained.schema.columns]
    predicts = f"whether {label.name} is {label.positive}" if trained.task == "classification" else label.name
    if label.event:
        predicts = f"the time ({label.name}) until {label.event} is {label.positive}"
    named = ", ".join(columns[:NAMED]) + (f" and {len(columns) - NAMED} more" if len(columns) > NAMED else "")
    yield f"A {trained.model} model that predicts {predicts}. Research; no medical device."
    yield f"It reads {units.plural(len(columns), 'column')} of each hospital's own file of patients: {named}."
    yield (
        f"{units.plural(stated.cohort, 'hospital')} took part in each sum"
        f"{f', with {trained.preparation.rows:,} rows together' if trained.preparation.rows else ''}. Rows stay in the "
        "hospital, in the file where they are: no row, name or identifier is sent, and none is copied."
    )


def _flows(stated: Statement) -> Iterator[tuple[str, str, str]]:
    yield ("Flow", "What", "Protection")
    protected = (
        f"masked, shared or encrypted by {stated.strategy}; only sums of at least {stated.floor} hospitals are opened"
        if stated.private
        else "none: the server reads each hospital's update"
    )
    for stage in stated.stages:
        name, numbers = stage.stage.removeprefix("query."), sum(stage.metrics.values())
        parts = [
            *([f"changes of {units.plural(stage.parameters, 'model parameter')}"] if stage.parameters else []),
            *([f"{units.plural(stage.buffers, 'value')} of the model's running statistics"] if stage.buffers else []),
            *(
                [f"{units.plural(numbers, 'number')}: {WORDS.get(name, ', '.join(sorted(stage.metrics)))}"]
                if numbers
                else []
            ),
        ]
        yield (f"hospital → server: {name}, {units.plural(stage.sums, 'time')}", "; ".join(parts), protected)
    yield ("server → hospitals", "the model of each round, the options, who takes part", "signed; TLS in a deployment")
    yield ("hospital → hospital", "keys, and shares of masks or of inputs, through the server", "sealed end to end")


def _seen(stated: Statement) -> Iterator[tuple[str, str]]:
    yield ("Who", "What they learn")
    yield ("The server", _said(stated, "server")[0])
    yield ("Another hospital", "The model of each round and who takes part; nothing of another hospital's input.")
    yield ("Who has the model", "What the model says of a person, and perhaps whether a person was in the data.")
    yield ("The network", "With TLS: that hospitals and server talk, when, and how much.")


def _trust(stated: Statement) -> Iterator[str]:
    yield from _said(stated, "colluding hospitals")


def _left(stated: Statement) -> Iterator[str]:
    """What the statement says of the server beyond its first sentence and the stages, which the tables have."""
    yield from (text for text in _said(stated, "server")[1:] if not text.startswith("Stage "))
    yield from _said(stated, "outsider")[-1:]


def _roles(stated: Statement, agreed: Agreement | None) -> Iterator[str]:
    yield (
        "Each hospital decides on purpose and means for its patients and is a controller; hospitals that decide "
        "together are usually joint controllers (Art. 26), who need an arrangement. Who runs the server is a processor "
        "(Art. 28) if it acts on their instructions alone, else a controller too."
    )
    yield (
        "Updates are computed from health data (Art. 9). Before they are summed, treat them as personal data in "
        "transit. Whether a sum or the model is anonymous depends on who could be singled out by means reasonably "
        "likely to be used (Recital 26): see what is not protected, above. Without noise, fedsec does not claim it."
    )
    yield (
        "Secure sums are a measure of data protection by design (Art. 25) and of security (Art. 32); they do not "
        "replace a legal basis, nor an impact assessment (Art. 35) where one is due."
    )
    if stated.agreement:
        here = f"This study ran under the agreement {stated.agreement}."
    elif agreed is not None:
        here = (
            "None was enforced here; agreement.toml beside this sheet is what it would say, for hospitals to discuss."
        )
    else:
        here = "None was enforced here."
    yield (
        "In a deployment each hospital approves one agreement, and its own node refuses whatever is outside of it: "
        f"other columns, other code, more sums. {here}"
    )
    yield (
        "A person's rows can be left out of later rounds by deleting them in the hospital's file; what a trained model "
        "has learned from them stays, until the model is trained anew."
    )


def _made(
    trained: TrainedModel, stated: Statement, agreed: Agreement | None, simulated: RunDocument | None
) -> Iterator[str]:
    yield from (f"{key}: {value}" for key, value in trained.about.items() if value and key != "agreement")
    if simulated is not None:
        yield f"model SHA-256: {simulated.model_hash}"
    identities = "believed on first use, as in a simulation" if stated.identities == "first use" else "pinned"
    yield f"identities of hospitals: {identities}"


def _said(stated: Statement, role: str) -> tuple[str, ...]:
    """What the statement says of a role."""
    return next(one.sentences for one in stated.sections if one.role == role)
