"""SignSynth before it moves: parameters, handshapes, lexicon and sentences."""

import itertools
import re
import string
from collections import Counter

import numpy as np
import pytest

from signx_hf import SignXError
from signx_hf.data.signsynth import handshapes, skeleton
from signx_hf.data.signsynth.grammar import SHORTEST, Sentence, plural, sentences, third_person, with_article
from signx_hf.data.signsynth.lexicon import AUTHORED, SIZES, lexicon
from signx_hf.data.signsynth.phonology import (
    BODY_LOCATIONS,
    LETTERS,
    LOCALS,
    LOCATIONS,
    PATHS,
    Sign,
    differences,
    direction,
    letter_sign,
    minimal_pairs,
    path_offset,
    spell,
)

PLAIN = {"gloss": "X", "handshape": "5", "location": "chin", "path": "forward", "palm": "in", "fingers": "up"}


@pytest.fixture(scope="module")
def base():
    return lexicon("base")


def test_there_is_enough_to_sign_with():
    assert len(handshapes.HANDSHAPES) >= 20 and len(BODY_LOCATIONS) >= 10 and len(LOCATIONS) >= 12
    assert len(PATHS) + len(LOCALS) - 2 >= 12
    assert set(LETTERS) == set(string.ascii_uppercase)
    assert {LETTERS[x][0] for x in LETTERS} <= set(handshapes.SHAPES)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"handshape": "Q9"}, "sign 'X': `handshape` must be .*hoose one of A, B.*got 'Q9'"),
        ({"location": "forehaed"}, r"`location` must be a known one \(did you mean 'forehead'\?.*got 'forehaed'"),
        ({"path": "loop"}, "`path` must be .*got 'loop'"),
        ({"local": "shiver"}, "`local` must be .*got 'shiver'"),
        ({"hands": "both"}, "`hands` must be .*got 'both'"),
        ({"head": "bow"}, "`head` must be .*hoose one of none, nod, shake, tilt.*got 'bow'"),
        ({"palm": "left"}, "there is no direction 'left'"),
        ({"palm": "up"}, "`fingers` must be a direction roughly perpendicular to the palm, which faces up.*got 'up'"),
        ({"final_handshape": "5"}, "a different handshape"),
        ({"final_handshape": "Z"}, "`final_handshape` must be .*got 'Z'"),
        ({"repeats": 4}, "`repeats` must be 1, 2 or 3.*got 4"),
        ({"hands": "base"}, "`base_handshape` must be .*hoose one of A, S, flat.*got None"),
        ({"hands": "base", "base_handshape": "Y", "location": "base-hand"}, "`base_handshape` must be .*got 'Y'"),
        ({"base_handshape": "S"}, "`base_handshape` must be None, or hands='base'.*got 'S'"),
        ({"location": "base-hand"}, "'base-hand' if and only if hands='base'"),
        ({"hands": "alternating", "path": "arc"}, "a path that alternating hands can take"),
        ({"letters": ("a",)}, "must be the letters A to Z"),
        ({"gloss": ""}, "`gloss` must be text without spaces.*got ''"),
        ({"gloss": "A B"}, "`gloss` must be text without spaces.*got 'A B'"),
        ({"palm": None}, "a direction must be text such as 'up-in'.*got None"),
        ({"palm": "up-down"}, "the directions of 'up-down' cancel out"),
    ],
)
def test_a_sign_that_cannot_be_is_refused(wrong, message):
    Sign(**PLAIN)
    with pytest.raises(SignXError, match=message):
        Sign(**{**PLAIN, **wrong})


def test_spelling_needs_letters():
    assert [letter_sign(x).handshape for x in spell("fs-JOB", "JOB").letters] == ["I", "O", "B"]
    with pytest.raises(SignXError, match="must be letters A to Z, got 'J2'"):
        spell("fs-J2", "J2")
    with pytest.raises(SignXError, match="no handshape 'Q9'; .*hoose one of A, B"):
        handshapes.hand_pose("Q9")


def test_handshapes_bend_fingers_towards_the_palm():
    """In the T-pose the palm faces down and fingers point to -x: flexion lowers the finger, abduction moves it to +z."""
    finger = np.array([-1.0, 0.0, 0.0])

    def end(name, joints):
        turn = np.eye(3)
        for joint in joints:
            turn = turn @ _rodrigues(handshapes.hand_pose(name)[joint])
        return turn @ finger

    index, pinky = range(0, 3), range(6, 9)
    for flexed, straight in itertools.product("ASO", ("5", "B")):
        assert end(flexed, [0])[1] < end(straight, [0])[1] - 0.5
    assert end("S", index)[0] > 0.2  # of a fist the finger tips point back
    assert end("5", [0])[2] > end("B", [0])[2] and end("5", [6])[2] < end("B", [6])[2]
    assert end("I", pinky)[0] < -0.7 and end("1", pinky)[0] > 0.15
    assert not handshapes.hand_pose("A").flags.writeable
    poses = [handshapes.hand_pose(name) for name in handshapes.HANDSHAPES]
    apart = [
        (np.abs(a - b).max(), x, y) for (x, a), (y, b) in itertools.combinations(zip(handshapes.HANDSHAPES, poses), 2)
    ]
    same = {frozenset((x, y)) for distance, x, y in apart if distance < np.radians(10)}
    assert same == {frozenset("HU")}, "only H and U are one shape, held differently"


def _rodrigues(vector):
    angle = np.linalg.norm(vector)
    if angle == 0:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def test_a_mirrored_handshape_is_that_of_the_other_hand():
    pose = handshapes.hand_pose("L")
    for vector, other in zip(pose, handshapes.mirror(pose)):
        flip = np.diag([-1.0, 1.0, 1.0])
        np.testing.assert_allclose(_rodrigues(other), flip @ _rodrigues(vector) @ flip, atol=1e-12)
    assert skeleton.RIGHT_HAND.stop - skeleton.RIGHT_HAND.start == len(pose)


@pytest.mark.parametrize("path", PATHS)
def test_paths_start_at_their_location_and_go_somewhere(path):
    normal, share = np.array([0.0, 0.0, 1.0]), np.linspace(0, 1, 61)
    once = path_offset(Sign(**{**PLAIN, "path": path}), share, normal)
    assert once.shape == (61, 3)
    np.testing.assert_allclose(once[0], 0, atol=1e-12)
    assert (np.abs(once).max() > 0.3) == (path != "hold")
    assert np.abs(np.diff(once[:2], axis=0)).max() < 0.05  # it sets in gently
    thrice = path_offset(Sign(**{**PLAIN, "path": path, "repeats": 3}), share, normal)
    np.testing.assert_allclose(thrice[-1], once[-1], atol=1e-9)
    if path != "hold":
        assert np.abs(thrice - once).max() > 0.2
        assert len({path_offset(Sign(**{**PLAIN, "path": x}), share, normal).tobytes() for x in PATHS}) == len(PATHS)


def test_directions_are_those_of_a_right_handed_signer():
    np.testing.assert_allclose(direction("in"), -direction("out"))
    np.testing.assert_allclose(direction("up-in"), np.array([1, 1, 0]) / 2**0.5)
    assert direction("in")[0] > 0  # towards the signer's left, where x grows


# -- lexicon --------------------------------------------------------------------------------------------------------------


def test_lexicons_are_nested_and_as_large_as_they_say(base):
    assert [len(lexicon(name)) for name in SIZES] == [20, 100, 1000]
    for name in ("tiny", "small"):
        assert lexicon(name).entries == base.entries[: SIZES[name]]
    assert lexicon(37).entries == base.entries[:37]
    assert lexicon("small", seed=1).signs != base.signs[:100]


def test_signs_and_glosses_are_distinct(base):
    assert len(set(base)) == len({sign.parameters for sign in base.signs}) == 1000
    for sign in base.signs:
        if sign.path == "hold" and sign.local in ("none", "wiggle") and sign.final_handshape is None:
            assert sign.repeats == 1, f"{sign.gloss}: a repetition that nobody can see"


def test_glosses_follow_the_conventions(base):
    pattern = re.compile(
        r"(IX-[123]p(-pl)?|POSS-[123]p(-pl)?|QMwg|#[A-Z]+|(ns-)?fs-[A-Z]+|#?[A-Z]+([-+/][A-Z]+)*(_\d)?)(\+[A-Z]+)*"
    )
    odd = [gloss for gloss in base if not pattern.fullmatch(gloss)]
    assert odd == []
    assert {"IX-1p", "POSS-1p", "TEACH+AGENT", "DURING/WHILE", "#IF", "ns-fs-ANNA", "NOT-YET", "QMwg"} <= set(base)
    spelled = [entry for entry in base.entries if entry.sign.letters]
    assert len(spelled) > 50
    for entry in spelled:
        assert entry.gloss.endswith("".join(entry.sign.letters))
    assert all(sign.gloss in AUTHORED or sign.letters or sign.location != "spelling" for sign in base.signs)


def test_minimal_pairs_are_those_that_brute_force_finds(base):
    signs = base.signs[:150]
    brute = {
        (a.gloss, b.gloss, differences(a, b)[0])
        for a, b in itertools.combinations(signs, 2)
        if len(differences(a, b)) == 1 and not a.letters and not b.letters
    }
    found = {(a.gloss, b.gloss, parameter) for a, b, parameter in minimal_pairs(signs)}
    assert found == brute
    assert len(minimal_pairs(lexicon("small").signs)) >= 12
    kinds = Counter(parameter for *_, parameter in minimal_pairs(base.signs))
    assert set(kinds) >= {
        "handshape",
        "location",
        "path",
        "palm",
        "local",
        "hands",
        "final_handshape",
        "head",
        "repeats",
    }


def test_a_lexicon_that_cannot_be_had_is_refused(base):
    with pytest.raises(SignXError, match="`size` must be tiny, small, base or a number of glosses, got 'huge'"):
        lexicon("huge")
    with pytest.raises(SignXError, match="must be an integer from 1 to .*, got 5000"):
        lexicon(5000)
    with pytest.raises(SignXError, match="gloss 'MOTHR' is not in this lexicon of 1000; did you mean 'MOTHER'"):
        base.signs_of(["MOTHR"])
    assert [sign.gloss for sign in base.signs_of(["MOTHER", "DOG"])] == ["MOTHER", "DOG"]


# -- sentences ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "count"), [("tiny", 200), ("small", 400), ("base", 1200)])
def test_sentences_are_distinct_and_cover_the_lexicon(size, count):
    words = lexicon(size)
    found = sentences(words, count, np.random.default_rng(0))
    assert found == sentences(words, count, np.random.default_rng(0))
    assert len({sentence.glosses for sentence in found}) == count
    uses = Counter(gloss for sentence in found for gloss in sentence.glosses)
    assert set(uses) == set(words)
    assert min(uses.values()) >= 0.15 * sum(uses.values()) / len(words)
    for sentence in found:
        assert SHORTEST <= len(sentence.glosses) <= 8
        assert re.fullmatch(r"[A-Z][\w' ,-]+[.?]", sentence.text), sentence
        assert "  " not in sentence.text
        assert all(0 <= span.first <= span.last < len(sentence.glosses) for span in sentence.head)


def test_sentences_follow_the_order_of_signs(base):
    time = {entry.gloss for entry in base.of("past", "future", "habit")}
    wh = {entry.gloss for entry in base.of("wh_thing", "wh_person", "wh_adverb", "question")}
    negation = {entry.gloss for entry in base.of("negation")}
    for sentence in sentences(base, 300, np.random.default_rng(3)):
        assert not time & set(sentence.glosses[1:])
        assert (sentence.glosses[-1] in wh) == sentence.text.endswith("?")
        if negation & set(sentence.glosses):
            assert sentence.glosses[-1] in negation
            assert re.search(r"\bnot\b|\bnever\b", sentence.text), sentence
            assert [span.kind for span in sentence.head][-1] == "shake"


def test_text_and_glosses_name_the_same_things(base):
    for sentence in sentences(base, 300, np.random.default_rng(5)):
        for gloss in sentence.glosses:
            entry = base[gloss]
            if entry.kind in ("name", "adj_thing", "adj_person", "wh_adverb", "food", "drink"):
                stem = re.sub(r"y?$", "", entry.word.lower())[:4]
                assert stem in sentence.text.lower(), (gloss, sentence)


def test_english_forms():
    assert [third_person(x) for x in ("go", "try", "have", "watch", "buy", "try on", "like to")] == [
        "goes", "tries", "has", "watches", "buys", "tries on", "likes to",
    ]  # fmt: skip
    assert [plural(x) for x in ("box", "dog", "city", "toy", "mouse", "knife")] == [
        "boxes",
        "dogs",
        "cities",
        "toys",
        "mice",
        "knives",
    ]
    assert [with_article(x) for x in ("apple", "dog", "uniform", "old book")] == [
        "an apple",
        "a dog",
        "a uniform",
        "an old book",
    ]


def test_more_sentences_than_there_are_is_an_error():
    with pytest.raises(SignXError, match=r"500 distinct sentences cannot be made of 3 glosses, only \d+"):
        sentences(lexicon(3), 500, np.random.default_rng(0))


def test_sentences_are_values():
    assert Sentence(("A",), "A.") == Sentence(("A",), "A.")
