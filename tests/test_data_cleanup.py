"""Clean-up of glosses against the references of the corpora themselves, and against hand-made answers."""

import pytest
from conftest import data_folder
from hypothesis import given
from hypothesis import strategies as st

from signx_hf.data.cleanup import CLEANUPS, clean_glosses, csl_daily, phoenix14, phoenix14t
from signx_hf.data.errors import SignXDataError


@pytest.mark.parametrize(
    "glosses, cleaned",
    [
        ("loc-NORD cl-REGEN qu-FRAGE poss-MEIN lh-WOLKE", "NORD REGEN FRAGE MEIN WOLKE"),
        ("__EMOTION__ A1 __PU__ __LEFTHAND__ B1 __EPENTHESIS__", "A1 B1"),
        ("__ON__ REGEN __OFF__", "__ON__ REGEN __OFF__"),
        ("S0NNE HABEN2", "SONNE HABEN"),
        ("WIE AUSSEHEN WETTER", "WIE-AUSSEHEN WETTER"),
        ("WIE WETTER AUSSEHEN", "WIE WETTER AUSSEHEN"),
        ("JETZT ZEIGEN MORGEN ZEIGEN", "JETZT ZEIGEN-BILDSCHIRM MORGEN ZEIGEN-BILDSCHIRM"),
        ("ZEIGEN-BILDSCHIRM", "ZEIGEN-BILDSCHIRM"),
        ("E R Z STURM", "E+R+Z STURM"),
        ("IN S H IX", "IN S+H IX"),
        ("BIS C M", "BIS C+M"),
        ("A SCH B WETTER", "A SCH+B WETTER"),
        ("K NN M", "K+NN+M"),
        ("S+T U REGEN", "S+T+U REGEN"),
        ("ALPENRAUM RAUM", "ALPEN RAUM"),
        ("WEHEN-PLUSPLUS", "WEHEN"),
        ("REGEN REGEN REGEN WIND REGEN", "REGEN WIND REGEN"),
        ("WEHEN WEHEN-PLUSPLUS", "WEHEN"),
        ("NICHT-VIEL NICHT-VIEL", "NICHT-VIEL NICHT-VIEL"),
        ("__PU__", ""),
        ("", ""),
    ],
)
def test_phoenix14(glosses, cleaned):
    assert phoenix14(glosses) == cleaned.split() == phoenix14(glosses.split())


def test_phoenix14_without_on_and_off():
    assert phoenix14("__ON__ REGEN __OFF__ REGEN", keep_on_off=False) == ["REGEN"]


@pytest.mark.parametrize(
    "glosses, cleaned",
    [
        ("__ON__ loc-NORD cl-REGEN __OFF__", "NORD REGEN"),
        ("poss-MEIN", "poss-MEIN"),
        ("NICHT-VIEL NICHT-VIEL", "NICHT-VIEL"),
        ("ZEIGEN", "ZEIGEN"),
        ("S H ALPENRAUM IX-PLUSPLUS", "S+H ALPEN IX"),
        ("WIE AUSSEHEN", "WIE-AUSSEHEN"),
    ],
)
def test_phoenix14t(glosses, cleaned):
    assert phoenix14t(glosses) == cleaned.split()


def test_csl_daily_only_narrows():
    assert csl_daily("他们（１） Ａ 我 我") == ["他们(1)", "A", "我", "我"]


def test_references_of_phoenix14_are_clean_already():
    """The references are what preprocess.sh makes hypotheses comparable with: it must leave them as they are."""
    path = data_folder("gloss_text", "phoenix2014-groundtruth-dev.stm")
    sentences = [line.split()[5:] for line in path.read_text(encoding="utf-8").splitlines()]
    changed = [sentence for sentence in sentences if phoenix14(sentence) != sentence]
    assert len(sentences) == 540
    # one reference repeats a plain gloss, a slip of its annotators
    assert len(changed) == 1 and "MOEGLICH MOEGLICH" in " ".join(changed[0])
    # and as a recogniser would write them, with letters apart and without the bracket marks, the same comes out
    for sentence in sentences:
        recognised = " ".join(sentence).replace("+", " ").replace("WIE-AUSSEHEN", "WIE AUSSEHEN")
        recognised = recognised.replace("ZEIGEN-BILDSCHIRM", "ZEIGEN")
        if sentence not in changed:
            assert phoenix14(f"{recognised} __PU__") == sentence


def test_phoenix14t_joins_letters_and_repeats_and_nothing_else():
    changed = 0
    for split in ("train", "dev", "test"):
        path = data_folder("gloss_text", f"phoenix-2014t_cleaned.{split}.tsv")
        for line in path.read_text(encoding="utf-8").splitlines()[1:]:
            glosses = line.split("\t")[3].split()
            cleaned = phoenix14t(glosses)
            changed += cleaned != glosses
            letters = " ".join(cleaned).replace("+", " ").split()
            plain = " ".join(glosses).replace("+", " ").split()
            merged = [gloss for at, gloss in enumerate(plain) if at == 0 or gloss != plain[at - 1]]
            assert [gloss for at, gloss in enumerate(letters) if at == 0 or gloss != letters[at - 1]] == merged
    assert changed == 105 + 5 + 7


GLOSSES = st.lists(
    st.sampled_from(
        [
            "A",
            "B",
            "SCH",
            "NN",
            "REGEN",
            "REGEN-X",
            "loc-REGEN",
            "__ON__",
            "__PU__",
            "ZEIGEN",
            "WIE",
            "AUSSEHEN",
            "WEHEN-PLUSPLUS",
            "我",
        ]
    )
)


@given(GLOSSES)
def test_cleaning_is_pure_and_cleaning_twice_is_cleaning_once(glosses):
    for clean in CLEANUPS.values():
        before = list(glosses)
        once = clean(glosses)
        assert glosses == before and clean(once) == once and clean(" ".join(glosses)) == once


def test_unknown_clean_up_is_named():
    assert clean_glosses("A  B", None) == ["A", "B"]
    with pytest.raises(SignXDataError, match="`cleanup` must be one of phoenix14, phoenix14t.*got 'phoenix'"):
        clean_glosses("A", "phoenix")
