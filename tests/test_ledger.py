"""The verdicts of scripts/ledger.py on systems whose order is known."""

import random

import pytest
from ledger import CLAIMS, ODDITIES, UNCHECKED, System, page, verdict

pytest.importorskip("jiwer")


def system(name: str, mean: float, seed: int) -> System:
    dice = random.Random(seed)
    errors = [[max(0, round(dice.gauss(mean, 1))) for _ in range(60)] for _ in range(3)]
    return System(name, mean, errors)


def test_a_trend_is_judged_by_its_direction_and_by_chance():
    low, high, low_too = system("low", 1, 0), system("high", 3, 1), system("low too", 1, 2)
    assert verdict(low, high)[0] == "holds"
    assert verdict(high, low)[0] == "does not hold here"
    assert verdict(low, low_too)[0] == "not settled"
    assert verdict(low, low) == ("not settled", 1.0)


def test_every_claim_is_in_the_ledger_even_without_records():
    text = page({})
    for claim in CLAIMS:
        assert claim.says in text
    assert text.count("not run yet: `python") == len(CLAIMS) - 1  # one needs no record
    assert all(claim in text for _, claim, _ in (*UNCHECKED, *ODDITIES))
    assert "T' = ceil(T/4), the paper's examples have one step more" in text


def test_records_of_an_ablation_are_read():
    def line(errors):
        return {"wer": 10.0 * errors, "errors_by_clip": [[errors] * 40]}

    tracks = {"all tracks": line(1), "without dwpose": line(2), "without sapiens": line(1), "without smplerx": line(0)}
    text = page({"ablations": {"tracks": {"result": tracks, "seeds": [0], "command": "python x.py"}}})
    rows = {row.split("|")[3].strip(): row for row in text.splitlines() if "the track" in row}
    assert (
        "**holds**" in rows["the track dwpose is of use"]
        and "-10.0 where -5.7 is published" in rows["the track dwpose is of use"]
    )
    assert "**not settled**" in rows["the track sapiens is of use"]
    assert "**does not hold here**" in rows["the track smplerx is of use"]
