"""Alignment of two gloss sentences with the costs of sclite."""

from collections.abc import Iterable

from .arrays import glosses_of

DELETION, INSERTION, SUBSTITUTION = 3, 3, 4

Pairs = list[tuple[str | None, str | None]]


def align_sclite(reference: Iterable[str], hypothesis: Iterable[str]) -> Pairs:
    """Align two gloss sentences at the lowest cost.

    Deletions and insertions cost 3, substitutions 4 (NIST's sclite in SCTK, and evaluations based on it). Alignments
    of equal cost may differ in their number of errors (three substitutions, or two deletions and two insertions). As
    in sclite, ties are broken from the end: a pair wins over a gap, and an insertion over a deletion.

    Args:
        reference: Glosses of the reference, as a list or text with spaces.
        hypothesis: Glosses of the prediction.

    Returns:
        Pairs (gloss of the reference, gloss of the hypothesis); None marks a gap.

    Raises:
        SignXError: If one is neither text nor a list of glosses.
    """
    reference, hypothesis = glosses_of("reference", reference), glosses_of("hypothesis", hypothesis)
    rows, columns = len(reference) + 1, len(hypothesis) + 1
    costs = [[INSERTION * column for column in range(columns)]]
    steps = [["insertion"] * columns]
    for row in range(1, rows):
        before, line, taken = costs[-1], [DELETION * row], ["deletion"]
        gloss = reference[row - 1]
        for column in range(1, columns):
            pair = before[column - 1] + (0 if gloss == hypothesis[column - 1] else SUBSTITUTION)
            deletion, insertion = before[column] + DELETION, line[-1] + INSERTION
            if pair <= deletion and pair <= insertion:
                cost, step = pair, "pair"
            elif deletion < insertion:
                cost, step = deletion, "deletion"
            else:
                cost, step = insertion, "insertion"
            line.append(cost)
            taken.append(step)
        costs.append(line)
        steps.append(taken)
    row, column, pairs = rows - 1, columns - 1, []
    while row or column:
        step = steps[row][column]
        pairs.append(
            (
                None if step == "insertion" else reference[row - 1],
                None if step == "deletion" else hypothesis[column - 1],
            )
        )
        row, column = row - (step != "insertion"), column - (step != "deletion")
    return pairs[::-1]


def count_edits(pairs: Pairs) -> tuple[int, int, int]:
    """Count the substitutions, insertions and deletions of an alignment."""
    insertions = sum(expected is None for expected, _ in pairs)
    deletions = sum(predicted is None for _, predicted in pairs)
    substitutions = sum(
        expected is not None and predicted is not None and expected != predicted for expected, predicted in pairs
    )
    return substitutions, insertions, deletions


def judge(recognized: Iterable[str], signed: Iterable[str]) -> list[bool]:
    """Return for each recognized gloss whether `align_sclite` pairs it with an equal signed gloss."""
    return [
        hypothesis == reference for reference, hypothesis in align_sclite(signed, recognized) if hypothesis is not None
    ]
