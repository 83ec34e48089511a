"""Trials, the record of answers, and what is made of them."""

from __future__ import annotations

import json
import os
from collections import Counter

import pytest

from unpaired.core.errors import BadInput
from unpaired.serve.study.ledger import ANSWERS, OutOfTurn, Session, open_ledger, read_sessions
from unpaired.serve.study.plan import algorithm_for, trials
from unpaired.serve.study.prepare import Study
from unpaired.serve.study.results import results, rows, text, wilson

OTHER = {"left": "right", "right": "left"}


def study(pairs=50, algorithms=("ours",), **settings):
    sheet = {name: [(f"real{k}", f"{name}{k}") for k in range(pairs)] for name in algorithms}
    return Study(seed=5, pairs=sheet, obvious=[("real0", f"noise{k}") for k in range(6)], **settings)


# What is shown


def test_ten_practice_trials_come_first_then_forty_scored_ones_with_the_checks_among_them():
    shown = trials(study(), "ours", "anna")
    assert [trial.kind for trial in shown[:10]] == ["practice"] * 10
    assert Counter(trial.kind for trial in shown[10:]) == {"scored": 40, "check": 6}
    assert {trial.kind for trial in shown[10:20]} | {trial.kind for trial in shown[-10:]} == {"scored", "check"}


def test_order_and_sides_follow_from_seed_algorithm_and_participant_alone():
    assert trials(study(), "ours", "anna") == trials(study(), "ours", "anna")
    assert trials(study(), "ours", "anna") != trials(study(), "ours", "bert")
    sides = Counter(trial.real for code in map(str, range(40)) for trial in trials(study(), "ours", code))
    assert 0.47 < sides["left"] / sides.total() < 0.53


def test_no_pair_is_shown_twice_before_all_were_shown_once():
    for number in (50, 20):
        shown = Counter(t.left + t.right for t in trials(study(number), "ours", "anna") if t.kind != "check")
        assert sum(shown.values()) == 50
        pairs = Counter(
            frozenset((t.left, t.right)) for t in trials(study(number), "ours", "anna") if t.kind != "check"
        )
        assert set(pairs.values()) <= ({1} if number == 50 else {2, 3})


def test_the_real_image_is_where_the_trial_says():
    for trial in trials(study(), "ours", "anna"):
        assert getattr(trial, trial.real).startswith("real")
        assert not getattr(trial, OTHER[trial.real]).startswith("real")


def test_algorithms_get_equally_many_sessions():
    names, started = ("a", "b", "c"), []
    for number in range(30):
        started.append(algorithm_for(study(algorithms=names), f"code{number}", started))
    assert set(Counter(started).values()) == {10}
    assert len(set(started[0::3])) > 1  # and not always in the same order


# What is kept


def answer_all(ledger, code, is_fooled=lambda number, trial: False):
    session = ledger.session(code)
    for number, trial in list(enumerate(session.trials))[len(session.choices) :]:
        choice = OTHER[trial.real] if is_fooled(number, trial) else trial.real
        ledger.answer(code, number, choice, shown_ms=1000.0, answered_ms=800.0)
    return session


def test_a_session_goes_on_where_the_server_was_killed(tmp_path):
    with open_ledger(tmp_path, study()) as ledger:
        session = ledger.session("anna")
        for number in range(7):
            ledger.answer("anna", number, "left")
    with (tmp_path / ANSWERS).open("ab") as file:
        file.write(b'{"event": "answer", "code": "anna", "tri')  # killed while it wrote
    with open_ledger(tmp_path, study()) as ledger:
        again = ledger.session("anna")
        assert (again.trials, again.choices) == (session.trials, ["left"] * 7)
        ledger.answer("anna", 7, "right")
    lines = [json.loads(line) for line in (tmp_path / ANSWERS).read_text().splitlines()]
    assert [line.get("trial") for line in lines] == [None, *range(8)]


def test_an_answer_is_on_the_disk_before_it_is_confirmed(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda number: flushed.append((tmp_path / ANSWERS).read_bytes()))
    with open_ledger(tmp_path, study()) as ledger:
        ledger.session("anna")
        ledger.answer("anna", 0, "left", answered_ms=812.5)
    assert [len(content.splitlines()) for content in flushed] == [1, 2]
    line = json.loads(flushed[1].splitlines()[1])
    assert line["choice"] == "left" and line["answered_ms"] == 812.5 and line["real"] in ("left", "right")


def test_a_line_that_the_disk_refused_is_taken_back(tmp_path, monkeypatch):
    with open_ledger(tmp_path, study()) as ledger:
        ledger.session("anna")
        before = (tmp_path / ANSWERS).read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lambda number: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            with pytest.raises(OSError, match="No space"):
                ledger.answer("anna", 0, "left")
        assert (tmp_path / ANSWERS).read_bytes() == before
        ledger.answer("anna", 0, "right")
    assert read_sessions(tmp_path, study())[0].choices == ["right"]


def test_an_answer_counts_once_and_in_its_turn(tmp_path):
    with open_ledger(tmp_path, study()) as ledger:
        ledger.session("anna")
        ledger.answer("anna", 0, "left")
        ledger.answer("anna", 0, "right")  # sent again: what was kept stays
        assert ledger.sessions["anna"].choices == ["left"]
        for number in (2, -1, 1000):
            with pytest.raises(OutOfTurn):
                ledger.answer("anna", number, "left")
        with pytest.raises(KeyError):
            ledger.answer("nobody", 0, "left")
    assert len((tmp_path / ANSWERS).read_text().splitlines()) == 2


def test_two_servers_cannot_keep_one_record(tmp_path):
    with open_ledger(tmp_path, study()), pytest.raises(BadInput, match="another process"):
        with open_ledger(tmp_path, study()):
            pass


# What comes out


def session(code, fooled_in, kind="scored", algorithm="ours", of=None):
    """A finished session in which the fake was taken for real in the first so many trials of a kind."""
    shown = trials(of or study(), algorithm, code)
    numbers = [number for number, trial in enumerate(shown) if trial.kind == kind][:fooled_in]
    choices = [OTHER[trial.real] if number in numbers else trial.real for number, trial in enumerate(shown)]
    return Session(code, algorithm, shown, choices)


def test_the_rate_and_its_error_are_those_worked_by_hand():
    (found,) = results(study(), [session("a", 4), session("b", 8), session("c", 12)])
    assert (found.participants, found.trials) == (3, 120)
    assert found.rate == pytest.approx(0.2)  # of 40: 0.1, 0.2, 0.3
    assert found.standard_error == pytest.approx(0.1 / 3**0.5)
    assert found.low is not None and 0.1 <= found.low < 0.2 < found.high <= 0.3
    assert "bootstrap over participants" in found.interval


def test_one_participant_gets_wilsons_interval_over_trials():
    (found,) = results(study(), [session("a", 10)])
    assert found.standard_error is None and "Wilson" in found.interval
    assert (found.low, found.high) == pytest.approx((0.141876, 0.401942), abs=1e-5)


def test_wilsons_interval_matches_published_values():
    assert wilson(0, 10) == pytest.approx((0, 0.27753), abs=1e-5)  # Newcombe 1998, Table I: 0/20 is 0 to 0.1611
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_practice_is_not_scored_and_who_fails_the_checks_is_left_out():
    asleep, unlucky = session("a", 2, "check"), session("b", 1, "check")
    (found,) = results(study(), [asleep, unlucky, session("c", 10, "practice")])
    assert (found.participants, found.excluded, found.rate) == (2, 1, 0.0)


def test_unfinished_sessions_are_counted_apart():
    begun = session("a", 0)
    begun.choices = begun.choices[:30]
    (found,) = results(study(), [begun])
    assert (found.participants, found.unfinished, found.rate) == (0, 1, None)
    assert "–" in text([found])


def test_each_algorithm_has_its_row():
    both = study(algorithms=("ours", "simgan"))
    found = results(both, [session("a", 12, of=both), session("b", 2, algorithm="simgan", of=both)])
    assert [row[:2] for row in rows(found)[1:]] == [("ours", "30.0"), ("simgan", "5.0")]
