"""Sentences in glosses with their English: time first, topic before comment, question word last, verb before negation.

The order of signs follows what grammars of ASL describe (Valli & Lucas, Linguistics of ASL, part 4) as far as a table
of words can: there is no spatial agreement and there are no classifiers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...processing.errors_signx import SignXError
from .arguments import of_chance, of_class, whole
from .lexicon import Entry, Lexicon
from .motion import HeadSpan

LONGEST, SHORTEST = 8, 2
PATIENCE = 1_000  # attempts in a row without a new sentence, after which the lexicon has hardly any left
# verb: what its object may be
OBJECTS = {
    "verb_thing": ("thing", "food", "drink", "text", "clothes", "vehicle", "animal"),
    "verb_person": ("person", "name"),
    "verb_eat": ("food",),
    "verb_drink": ("drink",),
    "verb_read": ("text",),
    "verb_wear": ("clothes",),
    "verb_ride": ("vehicle",),
    "verb_animal": ("animal",),
    "verb_place": ("place",),
    "verb_plain": (),
}
TIMES = ("past", "future", "habit")
PERSONS = {"IX-1p": "1", "IX-2p": "2", "IX-3p": "3", "IX-1p-pl": "pl", "IX-3p-pl": "pl"}
AFTER_VERB = ("home", "downtown")  # places without article


@dataclass(frozen=True)
class Sentence:
    """Glosses and English text of a sentence, and the movements of the head over several glosses."""

    glosses: tuple[str, ...]
    text: str
    head: tuple[HeadSpan, ...] = ()


@dataclass(frozen=True)
class _Phrase:
    """A part of a sentence; `person` is 1, 2, 3 or pl, for the verb."""

    glosses: tuple[str, ...]
    text: str
    person: str = "3"


class _Impossible(Exception):
    """Raised if a lexicon lacks a word that the pattern needs."""


def third_person(verb: str) -> str:
    """Return the third person of a verb: `go` -> `goes`, `try on` -> `tries on`."""
    word, _, rest = verb.partition(" ")
    if word == "have":
        word = "has"
    elif word.endswith(("s", "sh", "ch", "x", "z", "o")):
        word += "es"
    elif word.endswith("y") and word[-2] not in "aeiou":
        word = word[:-1] + "ies"
    else:
        word += "s"
    return f"{word} {rest}".rstrip()


def plural(noun: str) -> str:
    """Return the plural of a noun: `box` -> `boxes`, `ice cream` -> `ice creams`."""
    irregular = {
        "mouse": "mice", "goose": "geese", "fish": "fish", "deer": "deer", "moose": "moose", "wolf": "wolves", "knife": "knives",
        "scarf": "scarves", "leaf": "leaves", "shelf": "shelves", "child": "children", "man": "men", "woman": "women",
        "pair of scissors": "pairs of scissors", "diary": "diaries", "potato": "potatoes", "tomato": "tomatoes",
        "fisherman": "fishermen", "wife": "wives", "thief": "thieves",
    }  # fmt: skip
    if noun in irregular:
        return irregular[noun]
    if noun.endswith(("s", "sh", "ch", "x", "z")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def with_article(noun: str) -> str:
    """Return a noun with its article: `an apple`, `a uniform`."""
    vowel = noun[0] in "aeiou" and not noun.startswith(("uni", "use", "one", "eu"))
    return f"{'an' if vowel or noun.startswith('hour') else 'a'} {noun}"


class _Writer:
    """Writes one sentence after the other, each around the word that has been used least."""

    def __init__(self, lexicon: Lexicon, generator: np.random.Generator):
        self.lexicon, self.draw = lexicon, generator
        # how often each word was used or tried in vain, so that a word that fits nowhere does not come back forever
        self.uses, self.failures = np.zeros((2, len(lexicon)))
        self.number = {gloss: number for number, gloss in enumerate(lexicon)}
        self.kinds = {kind: lexicon.of(kind) for kind in {entry.kind for entry in lexicon.entries}}
        self.target: Entry | None = None

    def chance(self, share: float) -> bool:
        return bool(self.draw.random() < share)

    def has(self, *kinds: str) -> bool:
        return any(kind in self.kinds for kind in kinds)

    def targets(self, *kinds: str) -> bool:
        return self.target is not None and self.target.kind in kinds

    def pick(self, *kinds: str) -> Entry:
        """Return the target if it is of these kinds, else a word of them, preferring rarely used ones."""
        if self.targets(*kinds):
            entry, self.target = self.target, None
            return entry
        entries = [entry for kind in kinds for entry in self.kinds.get(kind, ())]
        if not entries:
            raise _Impossible
        weights = np.cumsum((1 + self.uses[[self.number[entry.gloss] for entry in entries]]) ** -2.0)
        return entries[int(np.searchsorted(weights, self.draw.random() * weights[-1]))]

    # -- phrases --------------------------------------------------------------------------------------------------------

    def subject(self) -> _Phrase:
        forms = [form for form in ("pronoun", "person", "name") if self.has(form)]
        if self.targets("possessive"):
            return self.people()
        chosen = (
            self.target.kind if self.targets(*forms) else forms[int(self.draw.integers(len(forms)))] if forms else None
        )
        if chosen is None:
            raise _Impossible
        if chosen == "pronoun":
            entry = self.pick("pronoun")
            return _Phrase((entry.gloss,), entry.word, PERSONS[entry.gloss])
        return self.people(chosen)

    def people(self, *kinds: str) -> _Phrase:
        """Return a person who is not a pronoun: Anna, my teacher, the teacher."""
        entry = self.pick(*(kinds or ("person",)))
        if entry.kind == "name":
            return _Phrase((entry.gloss,), entry.word)
        share = 0.1 + 0.08 * len(self.kinds.get("possessive", ()))
        if self.has("possessive") and (self.targets("possessive") or self.chance(share)):
            owner = self.pick("possessive")
            return _Phrase((owner.gloss, entry.gloss), f"{owner.word} {entry.word}")
        return _Phrase((entry.gloss,), f"the {entry.word}")

    def noun(self, *kinds: str, short: bool = False) -> _Phrase:
        """Return a thing: a dog, my dog, three dogs, a red book."""
        short = short or (self.target is None and self.chance(0.5))
        entry = self.pick(*kinds)
        if entry.kind == "place":
            return _Phrase((entry.gloss,), entry.word if entry.word in AFTER_VERB else f"the {entry.word}")
        forms = [
            x for x in ("adj_thing", "number", "possessive") if self.has(x) and (entry.countable or x != "number")
        ]
        form = next((x for x in forms if self.targets(x)), None)
        if form is None and forms and not short:
            form = forms[int(self.draw.integers(len(forms)))]
        if form == "adj_thing":
            adjective = self.pick("adj_thing")
            text = f"{adjective.word} {entry.word}"
            return _Phrase((entry.gloss, adjective.gloss), with_article(text) if entry.countable else text)
        if form == "number":
            number = self.pick("number")
            return _Phrase((number.gloss, entry.gloss), f"{number.word} {plural(entry.word)}", "pl")
        if form == "possessive":
            owner = self.pick("possessive")
            return _Phrase((owner.gloss, entry.gloss), f"{owner.word} {entry.word}")
        return _Phrase((entry.gloss,), with_article(entry.word) if entry.countable else entry.word)

    def complement(self, kind: str) -> _Phrase | None:
        """Return the object that a verb of that kind takes."""
        objects = OBJECTS[kind]
        if not objects:
            return None
        if kind == "verb_person":
            return self.people(*(x for x in objects if self.has(x)))
        place = self.noun(*objects)
        if kind == "verb_place":
            text = place.text if place.text in AFTER_VERB else f"to {place.text}"
            return _Phrase(place.glosses, text)
        return place

    def time(self) -> Entry | None:
        kinds = [kind for kind in TIMES if self.has(kind)]
        if kinds and (self.targets(*kinds) or self.chance(0.4)):
            return self.pick(*kinds)
        return None

    def verb(self) -> Entry:
        if self.target is not None and self.target.kind not in OBJECTS:
            kinds = [kind for kind, objects in OBJECTS.items() if self.target.kind in objects and self.has(kind)]
            if self.targets("adj_thing", "number"):
                kinds = [kind for kind in ("verb_thing", "verb_read", "verb_ride", "verb_animal") if self.has(kind)]
            if kinds:
                return self.pick(kinds[int(self.draw.integers(len(kinds)))])
        return self.pick(*OBJECTS)

    # -- patterns -------------------------------------------------------------------------------------------------------

    def clause(self) -> Sentence:
        """Return [time] subject [modal] verb object [adverb] [negation], or with the object as topic."""
        time, verb = self.time(), self.verb()
        goal = self.complement(verb.kind)
        modal = self.pick("modal") if self.has("modal") and (self.targets("modal") or self.chance(0.15)) else None
        negation = (
            self.pick("negation") if self.has("negation") and (self.targets("negation") or self.chance(0.12)) else None
        )
        adverb = None
        if self.has("adverb") and (self.targets("adverb") or (goal is None and self.chance(0.4))):
            adverb = self.pick("adverb")
        subject = self.subject()
        said = _predicate(subject.person, verb, time.kind if time else "habit", modal, negation)
        text = " ".join(x for x in (subject.text, said, goal and goal.text, adverb and adverb.word) if x)
        if negation is not None and negation.gloss == "NOT-YET":
            text += " yet"
        glosses = [time.gloss] if time else []
        topic = goal is not None and verb.kind not in ("verb_person", "verb_place") and self.chance(0.25)
        head = []
        if topic:
            head.append(HeadSpan("tilt", len(glosses), len(glosses) + len(goal.glosses) - 1))
            glosses += goal.glosses
        glosses += subject.glosses
        glosses += [modal.gloss] if modal else []
        if negation is not None:
            head.append(HeadSpan("shake", len(glosses), len(glosses)))
        glosses += [verb.gloss]
        glosses += [] if topic or goal is None else goal.glosses
        glosses += [adverb.gloss] if adverb else []
        glosses += [negation.gloss] if negation else []
        return _sentence(glosses, f"{time.word}, {text}" if time else text, ".", head)

    def question(self) -> Sentence:
        """Return subject verb object, then the question word."""
        word = self.pick("wh_thing", "wh_person", "wh_adverb", "question")
        verb = self.pick("verb_thing", "verb_read", "verb_eat") if word.kind == "wh_thing" else self.verb()
        subject = None if word.kind == "wh_person" else self.subject()
        goal = None if word.kind == "wh_thing" else self.complement(verb.kind)
        glosses = (*(subject.glosses if subject else ()), verb.gloss, *(goal.glosses if goal else ()), word.gloss)
        tail = f" {goal.text}" if goal else ""
        if subject is None:
            return _sentence(glosses, f"{word.word} {third_person(verb.word)}{tail}", "?")
        asked = f"{'does' if subject.person == '3' else 'do'} {subject.text} {verb.word}{tail}"
        return _sentence(glosses, asked if word.kind == "question" else f"{word.word} {asked}", "?")

    def whereabouts(self) -> Sentence:
        """Return a sentence such as `LIBRARY WHERE` or `POSS-1p FATHER HOSPITAL`."""
        where = next((entry for entry in self.kinds.get("wh_adverb", ()) if entry.gloss == "WHERE"), None)
        if where is not None and not self.targets("place", "person", "name", "possessive") and self.chance(0.5):
            thing = self.people() if self.chance(0.5) else self.noun("place", short=True)
            return _sentence((*thing.glosses, where.gloss), f"where is {thing.text}", "?")
        who, place = self.people(*(x for x in ("person", "name") if self.has(x))), self.noun("place")
        at = place.text if place.text in AFTER_VERB else f"at {place.text}"
        return _sentence((*who.glosses, *place.glosses), f"{who.text} is {at}", ".")

    def state(self) -> Sentence:
        """Return a sentence such as `MOTHER HAPPY` or `POSS-1p CAR RED`."""
        time = self.time()
        if self.targets("adj_thing", "thing", "food", "text", "clothes", "vehicle", "animal"):
            person = False
        else:
            person = self.targets("adj_person", "pronoun", "person", "name") or self.chance(0.6)
        if person:
            who, how = self.subject(), self.pick("adj_person")
        else:
            entry, how = self.pick("thing", "food", "text", "clothes", "vehicle", "animal"), self.pick("adj_thing")
            owner = self.pick("possessive") if self.has("possessive") else None
            glosses = (owner.gloss, entry.gloss) if owner else (entry.gloss,)
            who = _Phrase(glosses, f"{owner.word if owner else 'the'} {entry.word}")
        text = f"{who.text} {_be(who.person, time.kind if time else 'habit')} {how.word}"
        glosses = [*([time.gloss] if time else []), *who.glosses, how.gloss]
        return _sentence(glosses, f"{time.word}, {text}" if time else text, ".")

    def naming(self) -> Sentence:
        """Return a sentence such as `POSS-1p FRIEND NAME ns-fs-ANNA`."""
        who, word, name = self.people("person"), self.pick("naming"), self.pick("name")
        return _sentence((*who.glosses, word.gloss, name.gloss), f"{who.text}'s name is {name.word}", ".")

    def weather(self) -> Sentence:
        """Return a sentence such as `YESTERDAY RAIN`."""
        time, verb = self.pick(*TIMES), self.pick("weather")
        place = self.noun("place") if self.has("place") and self.chance(0.4) else None
        where = "" if place is None else f" {place.text}" if place.text in AFTER_VERB else f" at {place.text}"
        text = f"{time.word}, it {_predicate('3', verb, time.kind, None, None)}{where}"
        return _sentence((time.gloss, *(place.glosses if place else ()), verb.gloss), text, ".")

    def linked(self) -> Sentence:
        """Return a sentence such as `IX-1p TIRED BUT IX-2p WORK` or `#IF RAIN MOTHER SLEEP`."""
        conditional = self.has("condition") and (self.targets("condition", "weather") or self.chance(0.4))
        link = self.pick("condition" if conditional else "link")
        second, act = self.subject(), self.pick("verb_plain")
        then = f"{second.text} {_predicate(second.person, act, 'habit', None, None)}"
        if conditional:
            sky = self.pick("weather")
            text = f"{link.word} it {third_person(sky.word)}, {then}"
            return _sentence((link.gloss, sky.gloss, *second.glosses, act.gloss), text, ".")
        first, how = self.subject(), self.pick("adj_person")
        text = f"{first.text} {_be(first.person, 'habit')} {how.word} {link.word} {then}"
        return _sentence((*first.glosses, how.gloss, link.gloss, *second.glosses, act.gloss), text, ".")

    def patterns(self) -> list[Callable[[], Sentence]]:
        """Return the patterns that can hold the target, more likely ones more often."""
        kind, c, q, s = self.target.kind, self.clause, self.question, self.state
        if kind.startswith("wh_") or kind == "question":
            return [q]
        if kind in ("link", "condition"):
            return [self.linked]
        if kind == "naming":
            return [self.naming]
        if kind == "weather":
            return [self.weather, self.weather, self.linked] if self.has("link", "condition") else [self.weather]
        if kind in ("past", "future", "habit"):
            return [c, c, s]
        if kind == "adj_person":
            return [s, s, self.linked] if self.has("link") else [s]
        if kind == "adj_thing":
            return [c, s]
        if kind == "place":
            return [c, c, q, self.whereabouts]
        if kind == "name":
            return [c, c, self.naming, s, q] if self.has("naming") else [c, c, s, q]
        if kind in ("pronoun", "person", "possessive"):
            return [c, c, s, q]
        return [c] if kind in ("modal", "negation", "adverb", "number") else [c, c, q]

    def write(self) -> Sentence | None:
        """Return the next sentence, or None if this attempt failed."""
        loads = self.uses + self.failures
        least = np.flatnonzero(loads <= loads.min() + 0.01)
        number = int(least[self.draw.integers(len(least))])
        aim = self.target = self.lexicon.entries[number]
        self.failures[number] += 0.3
        patterns = self.patterns()
        try:
            sentence = patterns[int(self.draw.integers(len(patterns)))]()
        except _Impossible:
            return None
        fits = SHORTEST <= len(sentence.glosses) <= LONGEST and len(set(sentence.glosses)) == len(sentence.glosses)
        if not fits or aim.gloss not in sentence.glosses:
            return None
        return sentence


def _sentence(glosses, text: str, mark: str, head=()) -> Sentence:
    return Sentence(tuple(glosses), text[0].upper() + text[1:] + mark, tuple(head))


def _be(person: str, tense: str) -> str:
    if tense == "future":
        return "will be"
    now, past = {"1": ("am", "was"), "3": ("is", "was")}.get(person, ("are", "were"))
    return past if tense == "past" else now


def _predicate(person: str, verb: Entry, tense: str, modal: Entry | None, negation: Entry | None) -> str:
    """Return the verb with its auxiliaries: `buys`, `will never buy`, `did not want to buy`."""
    word, past = verb.word, verb.past
    if modal is not None and modal.gloss not in ("CAN", "MUST"):
        to = "" if modal.word.endswith(" to") else " to"
        word, past = f"{modal.word}{to} {verb.word}", f"{modal.past}{to} {verb.word}"
    never = negation is not None and negation.gloss == "NEVER"
    no = "" if negation is None else "never" if never else "not"
    if modal is not None and modal.gloss in ("CAN", "MUST"):
        future, now = {"CAN": ("will be able to", "can"), "MUST": ("will have to", "must")}[modal.gloss]
        helper = {"future": future, "past": modal.past}.get(tense, now)
        first, _, rest = helper.partition(" ")
        if no and first == "had":
            return f"never had to {word}" if never else f"did not have to {word}"
        return " ".join(x for x in (first, no, rest, word) if x)
    if tense == "future":
        return " ".join(x for x in ("will", no, word) if x)
    if no and not never:
        return f"{'did' if tense == 'past' else 'does' if person == '3' else 'do'} not {word}"
    said = past if tense == "past" else third_person(word) if person == "3" else word
    return f"{no} {said}".strip()


def sentences(lexicon: Lexicon, count: int, generator: np.random.Generator) -> list[Sentence]:
    """Write distinct sentences that use the words of a lexicon evenly.

    Args:
        lexicon: A lexicon with at least the words of `tiny`.
        count: Number of sentences, no two with the same glosses.
        generator: The random generator.

    Raises:
        SignXError: If the lexicon does not yield that many.
    """
    of_class("lexicon", lexicon, Lexicon, "Make one with lexicon('tiny').")
    of_chance(generator)
    count = whole("count", count, 0)
    writer, made, misses, in_a_row = _Writer(lexicon, generator), {}, 0, 0
    while len(made) < count:
        sentence = writer.write()
        if sentence is None or sentence.glosses in made:
            misses, in_a_row = misses + 1, in_a_row + 1
            if misses > 200 + 20 * count or in_a_row > PATIENCE:
                raise SignXError(
                    f"{count} distinct sentences cannot be made of {len(lexicon)} glosses, only {len(made)}. "
                    "Ask for fewer, or use a larger lexicon."
                )
            continue
        made[sentence.glosses], in_a_row = sentence, 0
        writer.uses[[writer.number[gloss] for gloss in sentence.glosses]] += 1
    return list(made.values())
