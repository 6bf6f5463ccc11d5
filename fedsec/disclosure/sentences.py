"""The facts of a statement in sentences for a reader who is no cryptographer, by role."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from fedsec.agreement.explanation import metrics_tell
from fedsec.disclosure.facts import Group, Section, StageSums, Statement, Subtracted, Task

NAMED = 6
"""How many metrics a sentence names."""
MANY = 20
"""With more hospitals few models have as many parameters as it takes to see all patterns of signs."""


def sections(facts: Statement) -> tuple[Section, ...]:
    """What the server, a hospital, colluding hospitals and an outsider could learn or do."""
    return (
        Section(role="server", title="The server", sentences=tuple(_server(facts))),
        Section(role="hospital", title="A hospital", sentences=tuple(_hospital(facts))),
        Section(role="colluding hospitals", title="Colluding hospitals", sentences=tuple(_colluding(facts))),
        Section(role="outsider", title="An outsider", sentences=tuple(_outsider(facts))),
    )


def _server(facts: Statement) -> Iterator[str]:
    fewest = min((stage.fewest for stage in facts.stages if stage.sums), default=0)
    most = max((stage.most for stage in facts.stages), default=0)
    if not facts.private:
        yield "It reads every hospital's update, row count and metrics: this strategy hides nothing."
    elif facts.sums:
        yield (
            f"It learned {_plural(facts.sums, 'sum')}, each of {fewest if fewest == most else f'{fewest} to {most}'} "
            "hospitals. Of a single hospital, messages showed it no update, row count or metric, but whether it took "
            "part, when it answered, and what kind of error it reported."
        )
    else:
        yield "It used no sum: every round was void, and a sum may have been opened before its round was."
    yield from map(_opened, facts.stages)
    if not facts.private:
        return
    yield _rows(facts)
    if facts.weights != "exact":  # exact weights tell row counts themselves
        grids = {key: stage.grids.get(key) for stage in facts.stages if stage.sums for key in stage.metrics}
        yield from metrics_tell(grids, {key for stage in facts.stages if stage.sums for key in stage.totals})
    if facts.sums:
        yield _counted(facts)
        yield (
            f"A sum of {fewest} hospitals may still hold rows: a model that is made for it reads rows out of one sum, "
            "and no noise was added, which alone prevents it."
        )
    if facts.subtracted:
        parts = "; ".join(f"party {one.party}: {', '.join(_known(one))}" for one in facts.subtracted)
        yield f"By subtracting sums over different hospitals it knows of {parts}."
    if not facts.agreement:
        yield (
            "No hospital enforced an agreement: within each one's policy, the server chose strategy, bounds, weights, "
            "stages, and how many sums there were."
        )
    yield from (f"{text[:1].upper()}{text[1:]}." for text in facts.warnings)


def _opened(stage: StageSums) -> str:
    values = [
        *([_plural(stage.parameters, "parameter")] if stage.parameters else []),
        *([_plural(stage.buffers, "buffer value")] if stage.buffers else []),
        *([_metrics(stage)] if stage.metrics else []),
    ]
    void = f"; {stage.void} more were void, and may have been opened before they were" if stage.void else ""
    title = stage.stage.removeprefix("query.")
    what = f" of {_list(values)}" if values else ""
    measured = f", after {stage.measured} that measured the updates' size" if stage.measured else ""
    return f"Stage {title}: {_plural(stage.sums, 'weighted mean')}{what}{measured}{void}."


def _metrics(stage: StageSums) -> str:
    names = sorted(stage.metrics)
    shown = [
        name if stage.metrics[name] == 1 else f"{name} with {stage.metrics[name]} values" for name in names[:NAMED]
    ]
    more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
    return f"{_plural(len(names), 'metric')} ({', '.join([*shown, *more])})"


def _rows(facts: Statement) -> str:
    """Row counts, and directions of single hospitals' changes."""
    signs = (
        "If a model makes all hospitals change a parameter by the same amount, as the first step of Adam does, the sum "
        "is that amount times"
    )
    if facts.weights == "equal":
        chance = f" in 1 of {alike(facts.cohort):,} parameters" if 0 < facts.cohort <= MANY else " seldom"
        often = f": with directions by chance{chance}, and in many more where hospitals' rows are alike"
        return (
            f"Row counts are no weights in the sum: all hospitals weigh the same. {signs} how many more went up than "
            f"down. Where all went the same way, the direction of each is known{often}."
        )
    if facts.weights == "powers-of-two":
        return (
            f"Row counts are powers of two as weights, and these can be derived from the sum. {signs} a sum of powers "
            "of two with a sign each, which tells the direction of the change of each hospital that is alone with its "
            "power."
        )
    enough = f" ({enough_parameters(facts.cohort):,} with directions by chance)" if 0 < facts.cohort <= MANY else ""
    return (
        f"Row counts can be derived from the sum, in which they are weights. {signs} a sum of all row counts with a "
        f"sign each: from enough parameters{enough} every row count follows, and the direction of each hospital's "
        "change."
    )


def alike(hospitals: int) -> int:
    """In one of how many parameters all hospitals' changes have the same sign, where signs are by chance."""
    return 1 << (hospitals - 1)


def enough_parameters(hospitals: int) -> int:
    """How many signed sums of the row counts show every pattern of signs, but for which is plus, in 95 cases of 100.

    With all m patterns every row count follows; k sums lack one of them with probability m·exp(-k/m) at most.
    """
    patterns = alike(hospitals)
    return math.ceil(patterns * math.log(patterns / 0.05))


def _counted(facts: Statement) -> str:
    widest = max((stage for stage in facts.stages if stage.sums), key=lambda stage: len(stage.counters))
    text = (
        f"With each sum it learned counts of hospitals, up to {len(widest.counters)}: those without a usable update, "
        f"scaled down or cut. Each takes one of {widest.most + 1} values ({widest.counter_bits:.1f} bits), and a "
        "model can be made so that rows steer one."
    )
    if facts.scale == "measured" and any(stage.measured for stage in facts.stages):
        bits = sum(stage.histogram_bits for stage in facts.stages)
        text += (
            " The scale was measured: it learned how many hospitals' largest and typical change, times the weight, lie "
            f"at each of {facts.rungs} powers of two, without names ({bits:.0f} bits at most)."
        )
    return text


def _hospital(facts: Statement) -> Iterator[str]:
    yield (
        "It receives the model of each round, the configuration and the list of who takes part. Of another hospital's "
        "input it receives nothing that it can read."
    )
    for task in facts.roles:
        yield _task(task)
    limits = [
        *([f"a parameter of the mean within ±{facts.clip:g} of the model"] if facts.clip is not None else []),
        *(f"the change of the arrays {pattern} within a norm of {norm:g}" for pattern, norm in facts.bounds.items()),
        "each metric within its range",
    ]
    yield f"Whatever it sends, a round that is used has {_list(limits)}; beyond that the round is void.{_free(facts)}"
    teller = "nobody can tell which hospital did" if facts.private else "the server can tell which hospital did"
    yield f"So one hospital can make a round void by its own input, and {teller}."
    if facts.corrects:
        yield f"Of {facts.cohort} answers that open a sum, {facts.corrects} may be false without changing it."
    elif facts.private:
        yield "A false answer when a sum is opened is not corrected: it spoils the sum, or makes the round void."


def _task(task: Task) -> str:
    parties = _list([str(party) for party in task.parties])
    who = f"Party {parties} is the {task.name}" if len(task.parties) == 1 else f"Parties {parties} are {task.name}s"
    return f"{who}. {task.learns}"


def _free(facts: Statement) -> str:
    """What no bound holds."""
    if facts.unbounded is None:
        return " What no bound is agreed for can be replaced."
    return f" {_plural(facts.unbounded, 'parameter')} of no agreed bound can be replaced." if facts.unbounded else ""


def _colluding(facts: Statement) -> Iterator[str]:
    chance = f", except with probability 2^-{facts.statistical_bits}" if facts.statistical_bits is not None else ""
    if not facts.private:
        yield "The server needs nobody's help to read an input."
        return
    alone = {(group.who, group.count) for group in facts.groups if not group.server}
    for group in facts.groups:
        twice = group.server and not group.malicious and (group.who, group.count) in alone
        if not twice:
            yield _group(group, chance)
    if facts.cohort:
        yield (
            f"All but one of a sum's hospitals, {facts.cohort - 1} of {facts.cohort}, know the last one's input "
            "whatever the protocol: it is the mean less their own."
        )
    if facts.identities == "first use":
        yield (
            "Identities were believed on first use, as in a simulation: a malicious server could have invented "
            "hospitals. In a deployment they are pinned."
        )


def _group(group: Group, chance: str) -> str:
    named = group.who.startswith("the ")
    who = group.who if named else _of(group)
    if group.alone:
        return (
            "A server that does not follow the protocol could open one hospital's input alone: nothing is promised "
            "against it."
        )
    if group.malicious:
        return (
            f"If the server does not follow the protocol, {who} and the server together could open one hospital's "
            f"input{chance}."
        )
    together = f"{who} and the server together" if group.server else f"{who} together, without the server,"
    less = "the server and other hospitals" if named else "fewer, with the server,"
    fewer = f"; {less} learn a sum of the others' inputs and no more{chance}" if group.server or not named else ""
    return f"{together[:1].upper()}{together[1:]} could open one hospital's input{fewer}."


def _of(group: Group) -> str:
    return f"{group.count} of {group.of} {group.who}" if group.count < group.of else f"all {group.of} {group.who}"


def _outsider(facts: Statement) -> Iterator[str]:
    if facts.private:
        yield (
            "Who listens on the network learns what the server learns, unless TLS is used: sums, sizes, times and the "
            "model. No input."
        )
    else:
        yield "Who listens on the network reads every input, unless TLS is used."
    yield (
        "Who has the model can ask it about a person: whether a row was among those it learned from can show, and "
        "nothing was done against that."
    )


def _known(one: Subtracted) -> list[str]:
    counted = [] if one.weight is None else [_plural(round(one.weight), "row")]
    added = [f"its rows' {name} adds up to {value:.3g}" for name, value in one.totals.items()]
    return [*counted, *added, *(f"{name} about {value:.3g}" for name, value in one.metrics.items())]


def _list(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
