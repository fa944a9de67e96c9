"""Tables as people have them: separators inside fields, columns of one name, line ends of other systems, escapes."""

import csv
import json
import warnings

import pytest

from signx_hf import SignXError, load_dataset
from signx_hf.cli import main
from signx_hf.processing.vocabulary_signx import read_vocabulary_file
from signx_hf.recognition.lm import read_text
from signx_hf.writers.ctm_file import rows as ctm_rows

SEPARATORS = "\u2028\u2029\x85\x0c\x0b\x1c\x1d\x1e"
ESCAPE = "\x1b[31m\x9b2J\x07"


def loaded(path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_dataset("table", path, split="train", **options)


def test_separators_of_unicode_belong_to_the_text(tmp_path):
    text = f"one{SEPARATORS}two"
    with open(tmp_path / "t.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "glosses", "text"], ["a", "A", text], ["b", "B", 'x\n"y", z']])
    (tmp_path / "t.tsv").write_text(f"id\tglosses\ttext\na\tA\t{text}\n", encoding="utf-8")
    (tmp_path / "t.jsonl").write_text(json.dumps({"id": "a", "text": text}, ensure_ascii=False) + "\n", "utf-8")
    for ending in ("csv", "tsv", "jsonl"):
        assert loaded(tmp_path / f"t.{ending}")[0]["text"] == text, ending
    assert loaded(tmp_path / "t.csv")[1]["text"] == 'x\n"y", z'


def test_rows_of_csv_are_named_by_their_line(tmp_path):
    (tmp_path / "t.csv").write_text('id,glosses,fps\na,"A\u2028",25\nb,"two\nlines",25\nc,C,fast\n', "utf-8")
    with pytest.raises(SignXError, match="row 5, column 'fps'"):
        loaded(tmp_path / "t.csv")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=repr)
def test_line_ends_of_every_system(tmp_path, end):
    rows = {"tsv": ["id\tglosses", "a\tA B", "b\tC"], "csv": ["id,glosses", "a,A B", "b,C"]}
    rows["jsonl"] = ['{"id": "a", "glosses": "A B"}', '{"id": "b", "glosses": "C"}']
    for ending, lines in rows.items():
        for last in ("", end):
            (tmp_path / f"t.{ending}").write_bytes((end.join(lines) + last).encode())
            assert loaded(tmp_path / f"t.{ending}")["glosses"][:] == [["A", "B"], ["C"]], ending
    (tmp_path / "words.txt").write_bytes(end.join(["A", "B", ""]).encode())
    assert read_vocabulary_file(tmp_path / "words.txt") == ["A", "B"]
    assert read_text(str(tmp_path / "words.txt")) == [["A"], ["B"]]


def test_a_lone_carriage_return_belongs_to_the_text_elsewhere(tmp_path):
    (tmp_path / "t.tsv").write_bytes(b"id\tglosses\ttext\na\tA\tx\ry\n")
    assert loaded(tmp_path / "t.tsv")[0]["text"] == "x\ry"


@pytest.mark.parametrize("ending, delimiter", [("tsv", "\t"), ("csv", ",")])
def test_two_columns_of_one_name_are_refused(tmp_path, ending, delimiter):
    path = tmp_path / f"t.{ending}"

    def write(*rows):
        path.write_text("".join(delimiter.join(row) + "\n" for row in rows))
        return path

    with pytest.raises(SignXError, match="row 1: column 'glosses' appears twice. Rename one of the two"):
        loaded(write(("id", "glosses", "glosses"), ("a", "A", "B")))
    write(("id", "Gloss", "glosses"), ("a", "A", "B"))
    with pytest.raises(SignXError, match="row 1: two columns are 'glosses', one of them 'glosses'"):
        loaded(path, columns={"Gloss": "glosses"})
    assert loaded(path, columns={"Gloss": None})[0]["glosses"] == ["B"]
    write(("id", "note", "note", "glosses"), ("a", "x", "y", "B"))
    assert loaded(path, columns={"note": None})[0]["glosses"] == ["B"], "nobody reads them"


def test_two_values_of_one_name_in_json_are_refused(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"id": "a", "glosses": "A", "glosses": "B"}\n')
    with pytest.raises(SignXError, match="row 1, column 'glosses': expected each name once"):
        loaded(tmp_path / "t.jsonl")
    span = '{"gloss": "A", "start": 0, "start": 1, "end": 2}'
    (tmp_path / "t.jsonl").write_text(f'{{"id": "a", "segments": [{span}]}}\n')
    with pytest.raises(SignXError, match="row 1, column 'start': expected each name once"):
        loaded(tmp_path / "t.jsonl")
    (tmp_path / "t.jsonl").write_text(f'{{"id": "a", "fps": {"9" * 5000}}}\n')
    with pytest.raises(SignXError, match="row 1, column 'all': expected a JSON object"):
        loaded(tmp_path / "t.jsonl")


def controls(text: str) -> set[str]:
    """Characters that a terminal obeys, but for the end of a line and the tab."""
    return {letter for letter in text if ord(letter) < 32 or 127 <= ord(letter) < 160} - {"\n", "\t"}


def test_what_a_cell_holds_moves_no_cursor(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.tsv").write_text(
        f"id\tvideo\tglosses\tsigner\tsplit\na{ESCAPE}\t{ESCAPE}.mp4\tA{ESCAPE}\tbob{ESCAPE}\ttrain\n"
        f"a{ESCAPE}\tgone.mp4\tB{ESCAPE}\tbob{ESCAPE}\ttest\n",
        encoding="utf-8",
    )
    for more in (["t.tsv"], ["t.tsv", "--json"], ["t.tsv", "--option", f"{ESCAPE}=1"], [f"{ESCAPE}"]):
        code = main(["data", "check", *more])
        said = capsys.readouterr()
        assert code and not controls(said.out + said.err), more
        assert "\\x1b" in said.out + said.err or "\\u001b" in said.out, more


def test_files_of_one_name_stay_apart_in_ctm(tmp_path):
    result = {"segments": [{"gloss": "A", "start": 0.0, "end": 0.5, "confidence": None}]}
    assert ctm_rows("one/my clip.mp4", result) == "my%20clip 1 0.000 0.500 A"
    assert ctm_rows("one/my clip.mp4", result, by_path=True) == "one/my%20clip.mp4 1 0.000 0.500 A"
