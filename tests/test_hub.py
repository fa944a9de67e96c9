"""Over the wire to a Hub on the loopback, with the real client: push, pull, remote code, datasets, and what happens when the
connection, the Hub or the token is bad."""

import gzip
import json
import re
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import run_python
from hub_client import Client
from hub_server import Account, Fault, HubServer
from make_model import FPS, GLOSSES, make_frames, make_poses, save_folder, write_video

pytest.importorskip("jiwer")
REPO = "someone/model"
CLIPS = "someone/clips"
PLACE = "evaluation/clips-test-poses.json"


def make_rows(base: Path) -> list[dict]:
    """Clips with poses; the first two with video too."""
    from signx_hf.data.schema import encode_poses, make_row

    rows = []
    for place, frames in enumerate((20, 33, 12)):
        glosses = [GLOSSES[(place + k) % 7] for k in range(1 + place)]
        video = write_video(base / f"clip{place}.mkv", make_frames(frames, seed=place)) if place < 2 else None
        rows.append(
            make_row(
                id=f"clip/{place}", fps=FPS, num_frames=frames, signer=f"s{place % 2}", split="test", glosses=glosses, video=video,
                poses=encode_poses(make_poses(frames, seed=place), fps=FPS), licence="CC0-1.0 (made for a test)",
                sign_language="qss", spoken_language="en",
            )
        )  # fmt: skip
    return rows


class Place:
    """A model with its results, a better and a worse successor as the results tell, and clips."""

    def __init__(self, base: Path):
        from signx_hf.data.schema import to_dataset
        from signx_hf.evaluation import EvaluationOptions, evaluate

        self.base = base
        to_dataset(make_rows(base), "test").save_to_disk(str(base / "clips"))
        for name, seed in (("model", 0), ("second", 1)):
            save_folder(base / name, "SignXForLatentCTC", seed=seed)
            evaluate(
                EvaluationOptions(
                    model=str(base / name), dataset=str(base / "clips"), source="poses", rounds=50, out=str(base / f"{name}_out"),
                    command=f"signx-hf evaluate {base / name} {base / 'clips'} --split test",
                ),
                progress=False,
            )  # fmt: skip
        self.results = self.with_rate("model", 0.5)
        self.good, self.bad = self.with_rate("second", 0.4), self.with_rate("second", 0.6)

    def with_rate(self, name: str, rate: float) -> Path:
        """Results of that model in which the WER is another; what random weights reach is of no use to compare."""
        content = json.loads((self.base / f"{name}_out" / "results.json").read_text())
        for score in content["scores"].values():
            score["rate"], score["interval"] = rate, [rate - 0.1, rate + 0.1]
        path = self.base / f"{name}_{rate}.json"
        path.write_text(json.dumps(content))
        return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
def hub():
    with HubServer() as server:
        yield server


@pytest.fixture(scope="module")
def client(hub, place):
    found = Client(hub.environment(place.base / "home"), place.base / "work")
    yield found
    found.close()


@pytest.fixture(autouse=True)
def fresh(request):
    """Each test has the Hub to itself."""
    if "hub" in request.fixturenames:
        server = request.getfixturevalue("hub")
        server.repos.clear()
        server.large.clear()
        server.log.clear()
        server.faults.clear()


def push(client, place, name="model", results=None, *more, repo=REPO):
    return client("push", place.base / name, repo, "--results", results or place.results, *more)


def published(hub, repo=REPO) -> dict:
    return json.loads(hub.tree(repo)[PLACE])


def test_a_model_travels_and_says_the_same(hub, client, place, tmp_path):
    """One commit; pulled byte for byte; loaded by name and from the folder, without the package, with the same logits; and the
    snippet of its card runs."""
    code, out, errors = push(client, place)
    assert (code, errors) == (0, [])
    repo, commit = hub.repos["model", REPO], hub.head(REPO)
    assert f"published {REPO}@{commit}" in out and len(repo.messages) == 2
    tree = hub.tree(REPO)
    sent = {path.name: path.read_bytes() for path in (place.base / "model").iterdir()}
    assert {name: tree[name] for name in sent} == sent
    assert set(tree) == {*sent, "README.md", ".gitattributes", PLACE}
    assert str(place.base) not in tree["README.md"].decode() + tree[PLACE].decode()

    code, out, errors = client("pull", REPO, "--out", tmp_path / "pulled", "--revision", commit)
    assert (code, errors) == (0, [])
    assert f"pulled {REPO}@{commit}" in out
    got = {
        str(p.relative_to(tmp_path / "pulled")): p.read_bytes()
        for p in (tmp_path / "pulled").rglob("*")
        if p.is_file()
    }
    assert got == tree
    assert "already up to date" in client("pull", REPO, "--out", tmp_path / "pulled")[1]
    assert not list(tmp_path.glob(".*")), "nothing is left beside it"

    from signx_hf.evaluation.run import EvaluationOptions, open_model

    again = open_model(EvaluationOptions(model=str(tmp_path / "pulled"), dataset="clips"))
    assert again.fingerprint == published(hub)["model"]["fingerprint"], "who evaluates the copy can compare"

    video = write_video(tmp_path / "clip.mkv", make_frames(22))
    np.savez(tmp_path / "poses.npz", **make_poses(22))
    code = f"""
    import numpy as np, torch
    from transformers import AutoModelForCTC, AutoProcessor
    for name, more in (({REPO!r}, dict(revision={commit!r})), ("pulled", {{}})):
        model = AutoModelForCTC.from_pretrained(name, trust_remote_code=True, **more).eval()
        processor = AutoProcessor.from_pretrained(name, trust_remote_code=True, **more)
        assert type(model).__module__.startswith("transformers_modules")
        with torch.no_grad():
            found = [model(**processor(poses=dict(np.load("poses.npz")))).logits, model(**processor(videos="clip.mkv")).logits]
        torch.save(found, name.split("/")[0] + ".pt")
    """
    (snippet,) = re.findall(r"^```python\n(.*?)^```$", tree["README.md"].decode(), re.M | re.S)
    assert "import signx_hf" not in snippet
    assert '"poses.npz"' in snippet and "was evaluated on poses alone" in tree["README.md"].decode()
    code = f"{textwrap.dedent(code)}\n{snippet}"
    printed = run_python(code, tmp_path, package=False, **hub.environment(tmp_path / "home", token=None))
    said = re.findall(r"^[\d.]+ to [\d.]+ s: (\S+)$", printed, re.M)
    assert said and printed.splitlines()[-len(said) - 1].split() == said
    import torch

    import signx_hf

    model = signx_hf.SignXForLatentCTC.from_pretrained(place.base / "model").eval()
    processor = signx_hf.SignXProcessor.from_pretrained(place.base / "model")
    with torch.no_grad():
        expected = [
            model(**processor(poses=make_poses(22))).logits, model(**processor(videos=str(video))).logits
        ]  # fmt: skip
    for name in ("someone", "pulled"):
        for found, wanted in zip(torch.load(tmp_path / f"{name}.pt", weights_only=True), expected):
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_clips_travel(hub, client, place, tmp_path):
    code, out, errors = client("push", "--dataset", place.base / "clips", CLIPS)
    assert (code, errors) == (0, [])
    tree = hub.tree(CLIPS, "dataset")
    assert str(place.base).encode() not in b"".join(tree.values()), "no path of the machine"
    assert client("pull", "--dataset", CLIPS, "--out", tmp_path / "pulled")[0] == 0
    from signx_hf.data.load import open_source

    rows = open_source(str(tmp_path / "pulled"))["test"]
    made = make_rows(tmp_path)
    assert [row["id"] for row in rows] == [row["id"] for row in made]
    for found, wanted in zip(rows, made):
        for name in ("glosses", "poses", "signer", "fps", "licence"):
            assert found[name] == wanted[name]
        if wanted["video"]:
            assert found["video"]["bytes"] == (place.base / Path(wanted["video"]["path"]).name).read_bytes()
    code = f"""
    from datasets import load_dataset
    rows = load_dataset({CLIPS!r}, split="test")
    print([row["id"] for row in rows], [len(row["poses"]) for row in rows])
    """
    printed = run_python(code, tmp_path, **hub.environment(tmp_path / "home", token=None))
    assert printed.strip() == str([row["id"] for row in made]) + " " + str([len(row["poses"]) for row in made])


def test_metrics_travel(hub, client, tmp_path):
    """Loaded by name they count as the package does, and a second push changes nothing."""
    pytest.importorskip("jiwer")
    from signx_hf.metrics import wer

    sentences = [["A B C", "", "D"], ["A C", "D", "D"]]
    code, out, errors = client("push", "--metric", "gloss_wer", "someone/error-rate")
    assert (code, errors) == (0, []) and "/spaces/someone/error-rate/tree/" in out
    tree = hub.tree("someone/error-rate", "space")
    assert set(tree) == {"error-rate.py", "README.md", "index.html", ".gitattributes"}
    assert b"sdk: static" in tree["README.md"] and b"references: the true gloss" in tree["README.md"]
    assert "nothing has changed" in client("push", "--metric", "gloss_wer", "someone/error-rate")[1]
    code, _, errors = client("push", "--metric", "gloss_bleu", "someone/error-rate")
    assert code == 2 and "must hold gloss_bleu, got gloss_wer" in errors[0]
    assert hub.tree("someone/error-rate", "space") == tree
    code = f"""
    import evaluate
    metric = evaluate.load("someone/error-rate")
    print(metric.compute(predictions={sentences[0]}, references={sentences[1]})["wer"])
    """
    environment = hub.environment(tmp_path / "home", token=None)
    found = float(run_python(code, tmp_path, **environment, HF_EVALUATE_OFFLINE="0").split()[-1])
    assert found == pytest.approx(wer(*sentences).rate) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--metric", "bertscore", "someone/m"), "sign_top_n, sign_translation, got 'bertscore'"),
        (("--metric", "--dataset", "gloss_wer", "someone/m"), "--dataset does not apply to --metric"),
        (("--metric", "gloss_wer", "a/b/c"), "OWNER/NAME, with letters, digits, -, _ and ., got 'a/b/c'"),
        (("--metric", "gloss_wer", "someone/gloss.wer"), "a name without a dot"),
    ],
)  # fmt: skip
def test_a_metric_that_cannot_be_published(hub, client, words, line):
    code, _, errors = client("push", *words)
    assert code == 2 and len(errors) == 1 and line in errors[0]
    assert not hub.repos


@pytest.mark.parametrize("name", ["gloss_bleu", "gloss_wer", "segment_times", "sign_top_n", "sign_translation"])
def test_the_example_of_a_metric_runs(name, tmp_path):
    pytest.importorskip("sacrebleu")
    from signx_hf.hub.metric_modules import EXAMPLES, MODULES, module_files

    assert f"metric.compute({EXAMPLES[name]})" in module_files(name, f"someone/{name}")["README.md"].decode()
    printed = run_python(
        f"import evaluate\nmetric = evaluate.load({str(MODULES / name / f'{name}.py')!r})\nprint(metric.compute({EXAMPLES[name]}))",
        tmp_path,
    )
    assert printed.startswith("{'")


def test_clips_with_a_closed_licence_are_not_made_public(hub, client, place, tmp_path):
    from signx_hf.data.schema import to_dataset

    rows = [{**row, "licence": "research only, CC BY-NC-SA 3.0"} for row in make_rows(tmp_path)]
    to_dataset(rows, "test").save_to_disk(str(tmp_path / "closed"))
    code, _, errors = client("push", "--dataset", tmp_path / "closed", CLIPS)
    assert code == 2 and len(errors) == 1 and "'research only, CC BY-NC-SA 3.0'" in errors[0]
    assert hub.tree(CLIPS, "dataset") is None
    assert client("push", "--dataset", tmp_path / "closed", CLIPS, "--private")[0] == 0
    assert hub.repos["dataset", CLIPS].private


def test_a_successor_replaces_it_and_a_worse_one_is_refused(hub, client, place):
    assert push(client, place)[0] == 0
    first = hub.head(REPO)
    hub.repos["model", REPO].commits[first]["old_code.py"] = hub.repos["model", REPO].commits[first]["config.json"]
    code, _, errors = push(client, place, "second", place.bad)
    assert code == 2 and hub.head(REPO) == first
    assert len(errors) == 1 and "WER 60.00 after 50.00 on clips test (poses, 3 clips)" in errors[0]
    code, _, errors = push(client, place, "second", place.good)
    assert code == 0 and errors == ["signx-hf push: WER on clips test (poses, 3 clips): 50.00 before, 40.00 now"]
    assert published(hub)["scores"]["plain"]["rate"] == 0.4 and "old_code.py" not in hub.tree(REPO)
    code, _, errors = push(client, place, "second", place.bad, "--force")
    assert (
        code == 0
        and errors[0].startswith("signx-hf push: forced: worse than")
        and published(hub)["scores"]["plain"]["rate"] == 0.6
    )
    second = hub.head(REPO)
    assert "nothing has changed" in push(client, place, "second", place.bad)[1] and hub.head(REPO) == second


def test_a_predecessor_with_nothing_but_a_card_is_compared_too(hub, client, place):
    assert push(client, place)[0] == 0
    repo = hub.repos["model", REPO]
    repo.commits[hub.head(REPO)].pop(PLACE)
    code, _, errors = push(client, place, "second", place.bad)
    assert code == 2 and "WER 60.00 after 50.00" in errors[0]
    assert push(client, place, "second", place.good)[0] == 0


def test_results_of_another_model_and_of_other_clips(hub, client, place, tmp_path):
    code, _, errors = push(client, place, "second", place.results)
    assert code == 2 and "results of another model" in errors[0] and hub.tree(REPO) is None
    assert push(client, place)[0] == 0
    content = json.loads(place.good.read_text())
    content["data"]["fingerprint"] = "f" * 64
    (tmp_path / "other.json").write_text(json.dumps(content))
    before = hub.head(REPO)
    code, _, errors = push(client, place, "second", tmp_path / "other.json")
    assert code == 2 and "was evaluated on clips test (poses, 3 clips), but this one was not" in errors[0]
    assert hub.head(REPO) == before


def test_branches_and_private_repositories(hub, client, place, tmp_path):
    assert push(client, place, "model", None, "--private")[0] == 0
    main = hub.head(REPO)
    assert hub.repos["model", REPO].private
    assert push(client, place, "second", place.good, "--revision", "trial")[0] == 0
    assert hub.head(REPO) == main and hub.head(REPO, branch="trial") != main
    assert client("pull", REPO, "--revision", "trial", "--out", tmp_path / "trial")[0] == 0
    assert (tmp_path / "trial" / "model.safetensors").read_bytes() == (
        place.base / "second" / "model.safetensors"
    ).read_bytes()
    code, _, errors = client("pull", REPO, "--revision", "nowhere", "--out", tmp_path / "nowhere")
    assert code == 2 and "has no revision 'nowhere'" in errors[0] and not (tmp_path / "nowhere").exists()
    hub.repos["model", REPO].private = False
    code, _, errors = push(client, place, "model", None, "--private")
    assert code == 2 and "exists and is public" in errors[0]


def test_a_name_that_holds_something_else(hub, client, place):
    hub.make(REPO, {"README.md": b"# novels", "novel.txt": b"Once upon a time"})
    before = hub.head(REPO)
    code, _, errors = push(client, place)
    assert code == 2 and len(errors) == 1
    assert f"{REPO} exists and does not hold a model (no config.json)" in errors[0]
    assert hub.head(REPO) == before


def test_one_line_for_who_may_not(hub, client, place, tmp_path):
    assert push(client, place)[0] == 0
    before, words = hub.head(REPO), ("push", place.base / "second", REPO, "--results", place.good)
    for token, text in (
        ("hf_reader", "the token may not write to someone/model (403"),
        ("hf_unknown", "rejected the token. Log in with `hf auth login`"),
        (" ", "no token was found. Log in"),
    ):
        code, _, errors = client(*words, token=token)
        assert code == 2 and len(errors) == 1 and text in errors[0], errors
        assert hub.head(REPO) == before
    code, _, errors = client("push", place.base / "second", "stranger/model", "--results", place.good)
    assert code == 2 and len(errors) == 1 and "the token may not write to stranger/model (403" in errors[0]
    assert hub.tree("stranger/model") is None
    code, _, errors = client("pull", "someone/nothing", "--out", tmp_path / "nothing")
    assert (
        code == 2
        and "someone/nothing does not exist, or is private" in errors[0]
        and not (tmp_path / "nothing").exists()
    )


def test_one_line_for_no_network(client, place, tmp_path):
    for words in (
        ("push", place.base / "model", REPO, "--results", place.results),
        ("pull", REPO, "--out", tmp_path / "out"),
    ):
        code, out, errors = client(*words, endpoint="http://127.0.0.1:9")
        assert (code, out, len(errors)) == (2, "", 1)
        assert "no response from http://127.0.0.1:9" in errors[0] and "Check the network" in errors[0]
    assert not list(tmp_path.iterdir())


ALWAYS = 1000
COMMIT, BATCH, LARGE, FETCH = r"/commit/", r"/objects/batch", r"/large/", r"/resolve/.*model\.safetensors"
# what goes wrong while a successor is published, and whether it is published all the same
PUSH_FAULTS = [
    (Fault("cut", "POST", COMMIT), False),
    (Fault("lost", "POST", COMMIT), True),
    (Fault("cut_body", "POST", COMMIT), True),
    (Fault("500", "POST", COMMIT), False),
    (Fault("429", "POST", COMMIT), False),
    (Fault("403", "POST", COMMIT), False),
    (Fault("412", "POST", COMMIT), False),
    (Fault("slow", "POST", COMMIT), None),
    (Fault("cut", "PUT", LARGE), True),
    (Fault("cut", "PUT", LARGE, ALWAYS), False),
    (Fault("500", "PUT", LARGE), True),
    (Fault("500", "PUT", LARGE, ALWAYS), False),
    (Fault("checksum", "PUT", LARGE), False),
    (Fault("lost", "PUT", LARGE), True),
    (Fault("slow", "PUT", LARGE), True),
    (Fault("500", "POST", LARGE + ".*/verify", ALWAYS), False),
    (Fault("429", "POST", BATCH), True),
    (Fault("cut_body", "POST", BATCH, ALWAYS), False),
    (Fault("500", "POST", "/preupload/", ALWAYS), False),
    (Fault("cut", "GET", "/api/models/", ALWAYS), False),
    (Fault("checksum", "GET", "/resolve/.*json", ALWAYS), False),
]


@pytest.mark.parametrize("fault, through", PUSH_FAULTS, ids=lambda item: getattr(item, "kind", None))
def test_a_fault_never_leaves_half_a_model(hub, client, place, fault, through):
    """The old commit whole or the new one whole, one line that says which, and the same command repairs it."""
    assert push(client, place)[0] == 0
    old, before = hub.tree(REPO), hub.head(REPO)
    hub.faults.append(fault)
    fault.seen = 0
    code, out, errors = push(client, place, "second", place.good)
    assert fault.seen >= 1, "the fault was not met"
    lines = [line for line in errors if "before," not in line]
    if fault.kind == "slow":
        time.sleep(2.5)  # the Hub goes on with what it has begun
    hub.faults.clear()
    new = hub.tree(REPO)
    if code == 0:
        assert through is not False and lines == [] and f"@{hub.head(REPO)}" in out
    else:
        assert through is not True and code == 2 and out == "" and len(lines) == 1, errors
        assert lines[0].startswith("signx-hf push: cannot") and "Traceback" not in lines[0]
        if through is False:
            assert new == old and hub.head(REPO) == before
    weights = {name: (place.base / name / "model.safetensors").read_bytes() for name in ("model", "second")}
    if hub.head(REPO) == before:
        assert new == old
    else:
        assert (
            new["model.safetensors"] == weights["second"] and json.loads(new[PLACE])["scores"]["plain"]["rate"] == 0.4
        )
        assert "| 40.00 %" in new["README.md"].decode()
    assert len(hub.repos["model", REPO].messages) <= 3
    assert push(client, place, "second", place.good)[0] == 0
    assert hub.tree(REPO)["model.safetensors"] == weights["second"]


def test_a_first_publication_that_fails_goes_on(hub, client, place):
    """The repository is made and empty; the second time what was uploaded is not sent again."""
    hub.faults.append(Fault("500", "POST", COMMIT))
    code, _, errors = push(client, place)
    assert code == 2 and len(errors) == 1
    assert f"{REPO} was created and is empty; run the same command to resume" in errors[0]
    assert set(hub.tree(REPO)) == {".gitattributes"}
    hub.log.clear()
    assert push(client, place)[0] == 0
    assert not [entry for entry in hub.log if entry[0] == "PUT"]


def test_somebody_takes_the_name_meanwhile(hub, client, place):
    hub.faults.append(Fault("409", "POST", "/repos/create"))
    code, _, errors = push(client, place)
    assert (
        code == 2 and len(errors) == 1 and "was just created, or exists and the token cannot see it (409)" in errors[0]
    )


PULL_FAULTS = [
    (Fault("cut", "GET", FETCH), True),
    (Fault("cut", "(GET|HEAD)", FETCH, ALWAYS), False),
    (Fault("cut_body", "GET", FETCH), True),
    (Fault("cut_body", "GET", FETCH, ALWAYS), None),  # each attempt goes on where the one before was cut
    (Fault("checksum", "GET", FETCH), True),
    (Fault("checksum", "GET", FETCH, ALWAYS), False),
    (Fault("500", "GET", FETCH), True),
    (Fault("500", "GET", "/tree/", ALWAYS), False),
    (Fault("429", "(GET|HEAD)", FETCH), True),
    (Fault("slow", "GET", FETCH), True),
    (Fault("403", "GET", FETCH, ALWAYS), False),
]


@pytest.mark.parametrize("fault, through", PULL_FAULTS, ids=lambda item: getattr(item, "kind", None))
def test_a_fault_never_leaves_half_a_folder(hub, client, place, tmp_path, fault, through):
    assert push(client, place)[0] == 0
    hub.faults.append(fault)
    fault.seen = 0
    out_folder = tmp_path / "pulled"
    code, out, errors = client("pull", REPO, "--out", out_folder)
    assert fault.seen >= 1, "the fault was not met"
    hub.faults.clear()
    if code == 0:
        assert through is not False and errors == []
    else:
        assert through is not True and code == 2 and out == "" and len(errors) == 1, errors
        assert not out_folder.exists()
        assert client("pull", REPO, "--out", out_folder)[0] == 0
    tree = hub.tree(REPO)
    assert {p: (out_folder / p).read_bytes() for p in tree} == tree
    assert not list(tmp_path.glob(".*.part"))


def test_killed_in_the_middle(hub, client, place, tmp_path):
    """kill -9 while the weights are sent: the old model stands whole, and the same command publishes the new one."""
    assert push(client, place)[0] == 0
    old, before = hub.tree(REPO), hub.head(REPO)
    hub.faults.append(Fault("slow", "PUT", LARGE, seconds=2))
    other = Client(hub.environment(place.base / "home4"), place.base / "work")
    other.send("push", place.base / "second", REPO, "--results", place.good)
    limit = time.monotonic() + 300
    while not hub.faults[0].seen and time.monotonic() < limit:
        time.sleep(0.05)
    other.process.kill()
    other.process.wait()
    other.close()
    assert hub.faults[0].seen == 1
    time.sleep(2.2)
    assert hub.tree(REPO) == old and hub.head(REPO) == before
    assert push(client, place, "second", place.good)[0] == 0


def test_a_folder_of_something_else_is_left_alone(hub, client, place, tmp_path):
    assert push(client, place)[0] == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("chapter 1")
    code, _, errors = client("pull", REPO, "--out", tmp_path / "mine")
    assert code == 2 and "holds something other than someone/model@" in errors[0]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("sha", ["../../../../outside/victim", "/../../outside", "", "x", 5, None, "C" * 40, "c" * 41])
def test_a_commit_that_is_no_hash(hub, client, place, tmp_path, sha):
    """Folders are named after it, so it may lead nowhere."""
    hub.make(REPO, {"a.txt": b"a"})
    (tmp_path / "in" / "side").mkdir(parents=True)
    hub.faults.append(Fault("say", "GET", f"/api/models/{REPO}(/revision/.*)?$", ALWAYS, body=told(sha=sha)))
    code, out, errors = client("pull", REPO, "--out", tmp_path / "in" / "side" / "out")
    assert (code, out, len(errors)) == (2, "", 1)
    assert f"the commit of {REPO} must be 40 hex digits, got {str(sha)!r} from {hub.url}" in errors[0]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in", "side"]
    code, _, errors = push(client, place)
    assert code == 2 and len(errors) == 1 and "must be 40 hex digits" in errors[0]
    assert hub.tree(REPO) == {"a.txt": b"a"}


FILE = {"type": "file", "path": "a.txt", "oid": "0" * 40, "size": 1}
LARGE_FILE = {"oid": "0" * 64, "size": 1, "pointerSize": 130}
ODD_ANSWERS = [
    ("info", [1], "sent an unexpected response (TypeError: "),
    ("info", {}, "sent an unexpected response (KeyError: "),
    ("info", None, "sent an unexpected response (TypeError: "),
    ("tree", [1], "sent an unexpected response (TypeError: "),
    ("tree", 5, "sent an unexpected response (TypeError: "),
    ("tree", [{**FILE, "lfs": "x"}], "sent an unexpected response (TypeError: "),
    ("tree", [{"type": "file"}], "sent an unexpected response (KeyError: "),
    ("tree", {}, f"{REPO}: it has no file at cccccccccccc"),
    ("tree", [{**FILE, "path": None}], f"{REPO} lists the file 'None', which is not a path inside it"),
    ("tree", [{**FILE, "path": "a/../../b"}], f"{REPO} lists the file 'a/../../b', which is not a path inside it"),
    ("tree", [{**FILE, "path": "/a"}], f"{REPO} lists the file '/a', which is not a path inside it"),
    ("tree", [{**FILE, "path": ""}], f"{REPO} lists the file '', which is not a path inside it"),
    ("tree", [{**FILE, "size": None}], "its size in bytes, got None. Check"),
    ("tree", [{**FILE, "size": "1"}], "its size in bytes, got '1'. Check"),
    ("tree", [{**FILE, "size": -1}], "its size in bytes, got -1. Check"),
    ("tree", [{**FILE, "oid": 5}], "'a.txt' with a hash of 40 hex digits, got '5'"),
    ("tree", [{**FILE, "lfs": {**LARGE_FILE, "oid": None}}], "with a hash of 64 hex digits, got 'None'"),
]  # fmt: skip


@pytest.mark.parametrize("where, said, line", ODD_ANSWERS)
def test_odd_answers_are_one_line(hub, client, tmp_path, where, said, line):
    body = json.dumps(said).encode()
    path = f"/api/models/{REPO}"
    if where == "tree":
        hub.faults.append(Fault("say", "GET", f"{path}/tree/", ALWAYS, body=body))
        body = told()
    hub.faults.append(Fault("say", "GET", f"{path}(/revision/.*)?$", ALWAYS, body=body))
    code, out, errors = client("pull", REPO, "--out", tmp_path / "out")
    assert (code, out, len(errors)) == (2, "", 1) and errors[0].startswith("signx-hf pull: ") and line in errors[0]
    assert not list(tmp_path.iterdir())


def test_an_odd_answer_to_push_is_one_line(hub, client, place):
    for path, said, line in (
        ("/whoami-v2", [1], "an unexpected response (TypeError"),
        (
            "/preupload/",
            {"files": 5},
            "preupload_info is improperly formatted. someone/model was created and is empty",
        ),
        ("/commit/", [], "an unexpected response (TypeError"),
        ("/repos/create", [], "an unexpected response (TypeError"),
    ):
        hub.repos.clear()
        hub.faults[:] = [Fault("say", "(GET|POST)", path, ALWAYS, body=json.dumps(said).encode())]
        code, out, errors = push(client, place)
        assert (code, out, len(errors)) == (2, "", 1) and line in errors[0], errors


def told(**changes) -> bytes:
    """What the Hub says of a repository."""
    return json.dumps({"id": REPO, "sha": "c" * 40, "private": False, **changes}).encode()


def test_a_folder_that_cannot_be_replaced(hub, tmp_path):
    hub.make(REPO, {"a.txt": b"a"})
    (tmp_path / "here").mkdir()
    other = Client(hub.environment(tmp_path / "home"), tmp_path / "here")
    try:
        code, out, errors = other("pull", REPO, "--out", ".")
        assert (code, out) == (2, "") and hub.log == []
        assert len(errors) == 1 and "got ., the current directory" in errors[0]
        assert {path.name for path in tmp_path.rglob("*")} <= {"here", "home"}
        (tmp_path / "here" / "a.txt").write_bytes(b"a")
        assert "already up to date" in other("pull", REPO, "--out", ".")[1]
    finally:
        other.close()


def test_a_link_to_a_folder(hub, client, tmp_path):
    """It stays one, and the folder that it leads to is filled."""
    hub.make(REPO, {"a.txt": b"a"})
    (tmp_path / "disk" / "real").mkdir(parents=True)
    (tmp_path / "empty").symlink_to(tmp_path / "disk" / "real")
    (tmp_path / "new").symlink_to(tmp_path / "disk" / "later")
    for name in ("empty", "new"):
        assert client("pull", REPO, "--out", tmp_path / name)[0] == 0
        assert (tmp_path / name).is_symlink() and (tmp_path / name / "a.txt").read_bytes() == b"a"
        assert "already up to date" in client("pull", REPO, "--out", tmp_path / name)[1]
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == ["later", "real"]
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    code, _, errors = client("pull", REPO, "--out", tmp_path / "loop")
    assert code == 2 and len(errors) == 1 and f"must be a folder, got the file {tmp_path / 'loop'}" in errors[0]


def test_files_beside_the_notes_of_the_client(hub, client, tmp_path):
    files = {".cache/x": b"x", "a.txt": b"a"}
    hub.make(REPO, files)
    assert client("pull", REPO, "--out", tmp_path / "out")[0] == 0
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert found == set(files)
    assert "already up to date" in client("pull", REPO, "--out", tmp_path / "out")[1]
    hub.make(REPO, {".cache/huggingface/x": b"x"})
    code, out, errors = client("pull", REPO, "--out", tmp_path / "other")
    assert (code, out, len(errors)) == (2, "", 1) and not (tmp_path / "other").exists()
    assert "it has a file '.cache/huggingface/x', and .cache/huggingface is reserved" in errors[0]


def test_two_pulls_at_once(hub, client, place, tmp_path):
    """One fetches, the other says so and leaves nothing behind."""
    hub.make(REPO, {"a.txt": b"a", "b.txt": b"b"})
    hub.faults.append(Fault("slow", "GET", "/resolve/.*a.txt", seconds=3))
    other = Client(hub.environment(tmp_path / "home"), tmp_path / "work")
    other.send("pull", REPO, "--out", tmp_path / "out")
    limit = time.monotonic() + 120
    while not hub.faults[0].seen and time.monotonic() < limit:
        time.sleep(0.05)
    code, out, errors = client("pull", REPO, "--out", tmp_path / "out")
    assert (code, out, len(errors)) == (2, "", 1)
    assert f"{tmp_path / 'out'}: another process is downloading it" in errors[0]
    assert json.loads(other.process.stdout.readline())[0] == 0
    other.close()
    assert "already up to date" in client("pull", REPO, "--out", tmp_path / "out")[1]
    assert not list(tmp_path.glob(".*.part"))


def test_a_list_that_is_too_long(hub, client, tmp_path):
    """Pages that name the next one forever."""
    hub.make(REPO, {"a.txt": b"a"})
    head = {"Link": f'<{hub.url}/api/models/{REPO}/tree/main>; rel="next"'}
    many = [{**FILE, "path": f"{index}.txt"} for index in range(60_000)]
    hub.faults[:] = [Fault("say", "GET", "/tree/", 10**9, body=json.dumps(many).encode(), headers=head)]
    code, out, errors = client("pull", REPO, "--out", tmp_path / "out")
    assert (code, out, len(errors)) == (2, "", 1) and f"{REPO} must list at most 100000 files" in errors[0]
    assert hub.faults[0].seen == 2
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_longer_than_listed(hub, client, tmp_path):
    """It is given up before it is written, compressed or not."""
    hub.make(REPO, {"a.txt": b"sixsix"})
    packed = gzip.compress(b" " * (1 << 26))
    for headers, body in (({}, b" " * (1 << 20)), ({"Content-Encoding": "gzip"}, packed)):
        hub.faults[:] = [Fault("endless", "GET", "/resolve/.*a.txt", ALWAYS, body=body, headers=headers)]
        code, out, errors = client("pull", REPO, "--out", tmp_path / "out")
        assert (code, out, len(errors)) == (2, "", 1) and "a.txt is longer than the listed 6 bytes" in errors[0]
        assert hub.faults[0].sent < 32 << 20
        assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 1000
    hub.faults.clear()
    assert client("pull", REPO, "--out", tmp_path / "out")[0] == 0
    assert not list(tmp_path.glob(".*.part"))


def test_what_is_listed_later_is_not_fetched(hub, client, tmp_path):
    """The list that was checked counts, whatever the Hub lists afterwards."""
    hub.make(REPO, {"a.txt": b"a", "b.txt": b"b"})
    blob = hub.repos["model", REPO].commits[hub.head(REPO)]["a.txt"]
    listed = [{"type": "file", "path": "a.txt", "oid": blob.oid, "size": 1}]
    hub.faults.append(Fault("say", "GET", "/tree/", 1, body=json.dumps(listed).encode()))
    assert client("pull", REPO, "--out", tmp_path / "out")[0] == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.txt"]


def test_the_server_keeps_its_promises(hub):
    """What the tests above lean on: tokens are checked, large files by SHA-256, commits are all or nothing."""
    import urllib.error
    import urllib.request

    def ask(method, path, body=b"", token="hf_writer"):
        request = urllib.request.Request(
            hub.url + path, body or None, {"Authorization": f"Bearer {token}"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    hub.make(REPO, {"a.txt": b"a"}, private=True)
    hub.tokens["hf_other"] = Account("other")
    assert ask("GET", f"/api/models/{REPO}") == 200
    assert [ask("GET", f"/api/models/{REPO}", token=token) for token in ("hf_reader", "hf_bad")] == [404, 401]
    assert ask("PUT", f"/large/{'0' * 64}", b"x") == 400
    lines = [
        {"key": "header", "value": {"summary": "s"}}, {"key": "file", "value": {"path": "b.txt", "content": "Yg=="}},
        {"key": "lfsFile", "value": {"path": "c.bin", "oid": "1" * 64}},
    ]  # fmt: skip
    body = "\n".join(json.dumps(line) for line in lines).encode()
    assert ask("POST", f"/api/models/{REPO}/commit/main", body) == 400
    assert hub.tree(REPO) == {"a.txt": b"a"}
    body = "\n".join(json.dumps(line) for line in lines[:2]).encode()
    assert ask("POST", f"/api/models/{REPO}/commit/main", body) == 200
    assert hub.tree(REPO) == {"a.txt": b"a", "b.txt": b"b"}


def test_the_parser_knows_no_client(tmp_path):
    code = "import sys, signx_hf.cli; signx_hf.cli.build_parser(); print('huggingface_hub' in sys.modules)"
    assert run_python(code, tmp_path).strip() == "False"
