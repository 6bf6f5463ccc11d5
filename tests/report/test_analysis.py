"""What comparisons answer: pure functions against small cases worked out by hand."""

from __future__ import annotations

import math
from itertools import combinations, pairwise
from typing import Any

import pytest

from fedsec.report import analysis, figures, ranking, shapes
from fedsec.report.document import Network, seconds
from fedsec.report.ranking import Trust

SLOW = Network(latency=1.0, down=1e9, up=1e9)


def test_ranking_by_seconds_with_baselines_and_promises_unranked(made: Any) -> None:
    cells = [made.cell(name, 10, 10_000) for name in ("paillier", "plain", "secagg", "shamir")]
    found = made.comparison(cells)
    places = ranking.ranking(found, cells, made.networks["hospital-wan"], Trust("semi-honest", 0, 0))
    assert [place.seconds for place in places] == sorted(seconds(cell, made.networks["hospital-wan"]) for cell in cells)
    assert [(place.cell.strategy, place.rank) for place in places] == [
        ("plain", 0),
        ("shamir", 1),
        ("secagg", 2),
        ("paillier", 3),
    ]
    assert all(place.low < place.seconds < place.high for place in places)
    malicious = Trust("malicious", 0, 0)
    places = ranking.ranking(found, cells, made.networks["hospital-wan"], malicious)
    assert [place.cell.strategy for place in places if place.rank] == ["secagg"]
    name, why = ranking.answer(places, malicious)
    assert name == "secagg" and "only one that qualifies" in why and "Without protection, plain" in why


def test_nobody_is_ranked_before_trust_is_answered(made: Any) -> None:
    cells = [made.cell(name, 10, 10_000) for name in ("plain", "secagg", "additive")]
    found, lan = made.comparison(cells), made.networks["lan"]
    answers = {"server": "malicious", "colluding": 0, "dropouts": 0}
    for size in range(3):
        for given in combinations(answers, size):
            trust = Trust(**{name: answers[name] for name in given})
            places = ranking.ranking(found, cells, lan, trust)
            best, why = ranking.answer(places, trust)
            assert not any(place.rank for place in places) and best == "" and trust.words() == ""
            assert [name for name, words in ranking.QUESTIONS.items() if words in why] == list(trust.unanswered)
            assert set(trust.unanswered) == set(answers) - set(given)
    assert ranking.answer(ranking.ranking(found, cells, lan, Trust(**answers)), Trust(**answers))[0] == "secagg"


@pytest.mark.parametrize("server", ranking.SERVERS)
@pytest.mark.parametrize("colluding", [0, 2, 3, 4, 5])
@pytest.mark.parametrize("dropouts", [0, 4, 5])
def test_only_what_promises_all_that_is_asked_is_ranked(made: Any, server: str, colluding: int, dropouts: int) -> None:
    cells = [made.cell(name, 10, 10_000) for name in made.kinds]
    found, trust = made.comparison(cells), Trust(server, colluding, dropouts)
    places = ranking.ranking(found, cells, made.networks["lan"], trust)
    for place in places:
        limits = place.cell.withstands
        most = limits.semi_honest_server if server == "semi-honest" else limits.malicious_server
        able = most >= colluding and min(place.cell.tolerance.values()) >= dropouts and place.cell.strategy != "plain"
        assert bool(place.rank) == able
    best, why = ranking.answer(places, trust)
    assert bool(best) == any(place.rank for place in places)
    if not best:
        assert "promises this. At most, one withstands" in why and f"with a {server} server" in why


def test_trust_in_words() -> None:
    assert (
        Trust("malicious", 2, 1).words() == "with a malicious server, 2 hospitals colluding with it and 1 dropping out"
    )
    none = "with a semi-honest server, no hospital colluding with it and nobody dropping out"
    assert Trust("semi-honest", 0, 0).words() == none


def test_the_answer_says_where_measurements_do_not_tell_two_apart(made: Any) -> None:
    one, other = made.cell("shamir", 10, 10_000), made.cell("additive", 10, 10_000)
    same = other.model_copy(update={"phases": one.phases, "round": one.round})
    found = made.comparison([one, same])
    trust = Trust("semi-honest", 2, 1)
    _, why = ranking.answer(ranking.ranking(found, [one, same], made.networks["lan"], trust), trust)
    assert "no clear difference" in why
    cells = [one, made.cell("secagg", 10, 10_000)]
    _, why = ranking.answer(ranking.ranking(found, cells, SLOW, trust), trust)
    assert "× as long" in why and "no clear difference" not in why


def test_no_answer_without_whole_rounds(made: Any) -> None:
    cells = [
        made.cell("shamir", 10, 100, status="refused", note="no"),
        made.cell("secagg", 10, 100, status="one-client"),
    ]
    found = made.comparison(cells)
    places = ranking.ranking(found, cells, SLOW)
    assert places == [] and ranking.answer(places, Trust()) == ("", ranking.NOTHING)
    assert analysis.opening(found) is not None and shapes.families(found) is None
    assert "neither bear this out nor refute it" in shapes.verdict(found)


def test_keys_choose_among_strategies_that_have_them(made: Any) -> None:
    cells = [
        made.cell("shamir", 10, 100),
        made.cell("paillier", 10, 100, key=2048),
        made.cell("paillier", 10, 100, key=3072),
    ]
    found = made.comparison(cells)
    listed = analysis.settings(found)
    assert [one.key_bits for one in listed] == [2048, 3072]
    assert [cell.key_bits for cell in analysis.cells_of(found, listed[0])] == [None, 2048]
    opening = analysis.opening(found)
    assert opening is not None and opening.key_bits == 3072
    assert "keys of 3,072 bits" in opening.words()


def test_the_page_opens_with_what_compares_most(made: Any) -> None:
    cells = [
        made.cell("shamir", 100, 100),
        made.cell("shamir", 10, 100),
        made.cell("secagg", 10, 100),
        made.cell("shamir", 10, 100, dropout=0.2),
        made.cell("secagg", 10, 100, dropout=0.2),
    ]
    assert analysis.opening(made.comparison(cells)) == (10, 100, 24, None, 0.0)
    assert analysis.opening(made.comparison([])) is None


@pytest.mark.slow
def test_the_plane_agrees_with_the_ranking(made: Any) -> None:
    found = made.realistic()
    setting = analysis.opening(found)
    cells = {cell.strategy: cell for cell in analysis.cells_of(found, setting) if cell.strategy != "plain"}
    won = shapes.plane(cells)
    assert math.isclose(sum(won.share.values()), 1, abs_tol=1e-9) and len(won.share) > 1
    for place in range(0, len(won.bandwidths), 17):
        for latency in shapes.logspace(*shapes.LATENCY, 9)[1:-1]:
            network = Network(latency=latency, down=won.bandwidths[place], up=won.bandwidths[place])
            here = [
                name for name, parts in won.regions.items() if (part := parts[place]) and part[0] < latency <= part[1]
            ]
            least = min(seconds(cell, network) for cell in cells.values())
            assert len(here) == 1 and math.isclose(seconds(cells[here[0]], network), least, rel_tol=1e-12)


def test_the_boundary_is_drawn_where_families_meet(made: Any) -> None:
    he, smpc = made.cell("paillier", 10, 100), made.cell("secagg", 10, 100)
    won = shapes.plane({"he": he, "smpc": smpc})
    assert set(won.share) == {"he", "smpc"}
    lines = figures.boundary(won, {"he": "he", "smpc": "smpc"})
    assert lines and not figures.boundary(won, {"he": "he", "smpc": "he"})
    for xs, ys in lines:
        for x, y in zip(xs, ys, strict=True):
            there = Network(latency=y, down=x, up=x)
            assert math.isclose(seconds(he, there), seconds(smpc, there), rel_tol=0.05)
    assert list(shapes.plane({"only": he}).share) == ["only"]


def test_equal_strategies_share_no_place(made: Any) -> None:
    cell = made.cell("shamir", 10, 100)
    assert shapes.plane({"one": cell, "other": cell}).share == {"one": pytest.approx(1)}


def test_sentences_about_series() -> None:
    points = {"a": [(1.0, 1.0), (10.0, 5.0), (100.0, 50.0)], "b": [(1.0, 2.0), (10.0, 4.0), (100.0, 60.0)]}
    assert shapes.lowest(points, "hospitals") == "a is lowest at 1 hospitals, b at 10 and a from 100 on"
    assert "30.0\N{NO-BREAK SPACE}× and 50.0" in shapes.growth(points, "hospitals")
    assert shapes.lowest({"a": points["a"]}, "hospitals") == "a is lowest at every number of hospitals measured"
    assert shapes.lowest({"a": [(3.0, 1.0)]}, "bits") == "a is lowest at 3 bits"
    assert shapes.growth({"a": [], "b": points["b"]}, "hospitals").endswith("it grows 30.0\N{NO-BREAK SPACE}×")
    assert shapes.lowest({}, "bits") == "" and shapes.growth({"a": [(3.0, 1.0)]}, "bits") == ""


@pytest.mark.slow
def test_the_verdict_counts_settings(made: Any) -> None:
    found = shapes.families(made.realistic())
    assert found is not None and found.cpu_above == found.settings and found.cpu_ratio > 10
    assert "borne out in every setting" in shapes.verdict(made.realistic())


def test_names_are_moved_apart_and_stay_within() -> None:
    out = figures.apart({"a": 0.5, "b": 0.5, "c": 0.51, "d": 0.9}, 0.1)
    heights = sorted(out.values())
    assert all(high - low > 0.0999 for low, high in pairwise(heights)) and out["d"] == 0.9
    assert min(figures.apart(dict.fromkeys("abcdefgh", 0.0), 0.06).values()) >= -1e-9
    assert max(figures.apart(dict.fromkeys("abcdefgh", 1.0), 0.06).values()) <= 1 + 1e-9


def test_ticks_are_round() -> None:
    assert figures.ticks(2e-4, 5.0, time=True) == pytest.approx([1e-3, 1e-2, 1e-1, 1])
    assert figures.ticks(0.5, 5000.0, time=True) == [1, 60, 600, 3600]
    assert figures.ticks(100.0, 5e5, time=True) == [600, 3600, 36_000, 360_000]
    assert figures.ticks(3.0, 40.0) == [5, 10, 20]
    assert figures.ticks(3.1, 3.2) == [3.1]
    powers = [figures._power(value) for value in figures.ticks(9e-7, 2e-5)]
    assert len(set(powers)) == len(powers) > 2 and powers[0].endswith("10⁻⁶") and powers[0].startswith("10")


def test_every_strategy_has_a_look_of_its_own(made: Any) -> None:
    families = {f"s{number}": family for number, family in enumerate(["he"] * 3 + ["smpc"] * 8 + ["clear"] * 2)}
    looks = figures.styles(families)
    assert len({look.colour for look in looks.values()}) == len(looks)
    assert len({(look.marker, str(look.dash)) for look in looks.values()}) == len(looks)
    assert len(figures.styles({f"s{number}": "he" for number in range(40)})) == 40
    for family, many in (("smpc", 64), ("he", 12), ("clear", 4)):
        looks = figures.styles({f"s{number}": family for number in range(many)})
        assert len({(look.colour, look.marker) for look in looks.values()}) == many
