"""Every corpus in miniature, in the layout of its owners, for tests that must not need the corpora themselves."""

import gzip
import json
from pathlib import Path

import numpy as np

ASLLRP_COLUMNS = (
    "Video ID number,Main entry gloss label,Entry/variant gloss label,Occurrence label,Start frame of the sign video,"
    "End frame of the sign video,Start frame of the containing utterance,End frame of the containing utterance,"
    "Sign video filename,Utterance video filename,Source collection,Utterance number,Sign type,Class label,Hidden"
)
SIGNSTREAM = """<?xml version="1.0" encoding="UTF-8"?>
<SIGNSTREAM-DATABASE>
  <PARTICIPANTS><PARTICIPANT ID="0" NAME="Benjamin"/></PARTICIPANTS>
  <CODING-SCHEME>
    <FIELD ID="10000" NAME="main gloss"/><FIELD ID="30000" NAME="English translation"/>
    <FIELD ID="88" NAME="negative"><VALUE ID="2" NAME="neg"/></FIELD>
  </CODING-SCHEME>
  <MEDIA-FILES><MEDIA-FILE ID="1" PATH="C:\\data\\road.mov"/></MEDIA-FILES>
  <UTTERANCES>
    <UTTERANCE ID="3" S="666" E="3333"><MEDIA-REF ID="1"/>
      <SEGMENT PARTICIPANT-ID="0">
        <TRACK FID="10000"><A S="900" E="1500">NOT-YET</A><A S="100" E="600">JOHN</A></TRACK>
        <TRACK FID="88"><A S="100" E="600" VID="2"/></TRACK>
        <TRACK FID="30000"><A S="0" E="2600">John has not yet.</A></TRACK>
      </SEGMENT>
      <SEGMENT PARTICIPANT-ID="1"><TRACK FID="88"><A S="0" E="9" VID="2"/></TRACK></SEGMENT>
    </UTTERANCE>
  </UTTERANCES>
</SIGNSTREAM-DATABASE>
"""


def write(folder: Path, name: str, content: str | bytes = b"") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        content = content.encode()
    path.write_bytes(content)
    return path


def phoenix14(folder: Path) -> None:
    base = "phoenix2014-release/phoenix-2014-multisigner/"
    for split, count in (("train", 3), ("dev", 2)):
        lines = ["id|folder|signer|annotation"]
        for n in range(count):
            lines.append(f"clip-{split}{n}|clip-{split}{n}/1/*.png|Signer0{n}|__ON__ REGEN REGEN loc-NORD S H")
            write(folder, f"{base}features/fullFrame-210x260px/{split}/clip-{split}{n}/1/c_avg_{n}.png", b"png")
        write(folder, f"{base}annotations/manual/{split}.corpus.csv", "\n".join(lines) + "\n")
    stm = ";; comment\nclip-test0 1 signer05 0.0 1.79769e+308 __ON__ REGEN\n"
    write(folder, f"{base}evaluation/phoenix2014-groundtruth-test.stm", stm)
    (folder / f"{base}features/fullFrame-210x260px/test").mkdir()


def phoenix14t(folder: Path) -> None:
    base = "PHOENIX-2014-T-release-v3/PHOENIX-2014-T/"
    for split, count in (("train", 3), ("dev", 1), ("test", 2)):
        lines = ["name|video|start|end|speaker|orth|translation"]
        for n in range(count):
            lines.append(f"{split}{n}|{split}{n}/1/*.png|-1|-1|Signer0{n}|JETZT WETTER|und nun das wetter .")
        write(folder, f"{base}annotations/manual/PHOENIX-2014-T.{split}.corpus.csv", "\r\n".join(lines))
        write(folder, f"{base}features/fullFrame-210x260px/{split}/{split}0/images0001.png", b"png")


def csl_daily(folder: Path) -> None:
    rows = ["index|name|length|gloss|char|word|postag", "0|S000000_P0004_T00|84|他们 １|他 们 好|他们 好|r a"]
    rows.append("1|S000001_P0000_T00|90|我 下雨|我 。|我 。|r w")
    write(folder, "sentence_label/video_map.txt", "\n".join(rows) + "\n")
    write(folder, "sentence_label/split_1.txt", "name|split\nS000000_P0004_T00|train\nS000001_P0000_T00|dev\n")
    write(folder, "sentence_label/csl2020ct_v1.pkl", b"\x80\x04never read")
    write(folder, "sentence/frames_512x512/S000000_P0004_T00/000000.jpg", b"jpg")


def how2sign(folder: Path) -> None:
    head = "VIDEO_ID\tVIDEO_NAME\tSENTENCE_ID\tSENTENCE_NAME\tSTART_REALIGNED\tEND_REALIGNED\tSENTENCE"
    row = '-d5d\t-d5d-1-rgb_front\t-d5d_{n}\t-d5d_{n}-1-rgb_front\t1{n}.97\t19.52\t"I call it ""painting""."'
    for split, count in (("train", 2), ("val", 1)):
        write(folder, f"how2sign_realigned_{split}.csv", "\n".join([head, *(row.format(n=n) for n in range(count))]))
    write(folder, "sentence_level/train/rgb_front/raw_videos/-d5d_0-1-rgb_front.mp4", b"mp4")
    write(folder, "video_level/val/rgb_front/raw_videos/-d5d-1-rgb_front.mp4", b"mp4")


def asllrp(folder: Path) -> None:
    lines = [ASLLRP_COLUMNS]
    for gloss, first, last, hidden in (("ARRIVE", 130, 141, "F"), ("IX", 110, 119, "F"), ("UM", 120, 125, "T")):
        lines.append(
            f'1,{gloss},{gloss}_2,"{gloss}+",{first},{last},100,199,s.mp4,381.mp4,Cory_2013-6-27_sc115,4,L,c,{hidden}'
        )
    write(folder, "asllrp_sentence_signs_2025_06_28.csv", "\n".join(lines))
    write(folder, "videos/381.mp4", b"mp4")


def signstream(folder: Path) -> None:
    write(folder, "ncslgr.xml", SIGNSTREAM)
    write(folder, "media/road.mov", b"mov")


def wlasl(folder: Path) -> None:
    def instance(video, split, end=-1):
        return {
            "video_id": video,
            "split": split,
            "signer_id": 7,
            "fps": 25,
            "frame_start": 1,
            "frame_end": end,
            "url": "x",
        }

    entries = [
        {
            "gloss": "book",
            "instances": [instance("00001", "train", 40), instance("00002", "val"), instance("00003", "train")],
        },
        {"gloss": "go to bed", "instances": [instance("00004", "test"), instance("00005", "train")]},
    ]
    write(folder, "start_kit/WLASL_v0.3.json", json.dumps(entries))
    write(folder, "start_kit/missing.txt", "00003\n")
    write(folder, "start_kit/videos/00001.mp4", b"mp4")


def draw_hands(draw: np.random.Generator, *shape: int) -> np.ndarray:
    """Hands that MediaPipe could have found: [*shape, 21, 3], x and y in the picture, z from the wrist."""
    hands = draw.uniform(0.2, 0.8, size=(*shape, 1, 3)) + draw.uniform(-0.1, 0.1, size=(*shape, 21, 3))
    hands[..., 2] = draw.uniform(-0.1, 0.05, size=(*shape, 21))
    hands[..., 0, 2] = 0
    return hands.astype(np.float16)


def wlasl_hands(folder: Path) -> None:
    draw = np.random.default_rng(2)
    length = np.array([6, 5, 7, 4, 6, 5], dtype=np.int32)
    present = draw.random((length.sum(), 2)) < 0.6
    present[8:10] = False
    present[0, 0] = True
    np.savez(
        folder / "wlasl2000.npz",
        length=length,
        present=present,
        hands=draw_hands(draw, present.sum()),
        video_id=np.array(["00001", "00002", "00003", "00004", "00005", "00006"]),
        sign=np.array([0, 0, 1, 1, 2, 0], dtype=np.int32),
        signer=np.array([7, 8, 7, 9, 10, 7], dtype=np.int32),
        split=np.array(["train", "val", "test", "train", "train", "train"]),
        source=np.array(["a", "b", "a", "b", "b", "a"]),
        gloss=np.array(["book", "go to bed", "drink"]),
    )


def copycat(folder: Path) -> None:
    draw = np.random.default_rng(6)
    length = np.array([9, 8, 7, 10, 8, 9], dtype=np.int32)
    hands = draw_hands(draw, length.sum(), 2)[..., :2]
    hands[3:6, 1] = hands[3:6, 0]
    gloss = np.array([[0, 1], [2, -1], [0, 1], [2, -1], [0, 1], [2, -1]], dtype=np.int8)
    frames = np.array([[[1, 4], [4, 7]], [[2, 6], [-1, -1]]] * 3, dtype=np.int16)
    np.savez(
        folder / "copycat.npz",
        length=length,
        hands=hands,
        gloss=gloss,
        word_frames=frames,
        signer=np.array([0, 0, 1, 1, 0, 1], dtype=np.int8),
        session=np.array([0, 0, 1, 1, 0, 1], dtype=np.int8),
        phrase=np.array([0, 1, 0, 1, 0, 1], dtype=np.int8),
        vocab=np.array(["lion", "bed", "snake"]),
        phrases=np.array(["lion_bed", "snake"]),
    )


def asl_webcam(folder: Path) -> None:
    draw = np.random.default_rng(7)
    points = draw.uniform(0.1, 0.9, size=(6, 75, 3))
    points[:, 33:] = draw_hands(draw, 6, 2).reshape(6, 42, 3)
    points[..., 2] /= 640
    points[2, 54:] = np.nan
    points[4, 33:] = np.nan
    points[5] = np.nan
    np.savez(folder / "sentences.npz", **{"what-time": points.astype(np.float16)})
    entry = {"id": "what-time", "fps": 19.833, "frames": 6, "width": 640, "height": 480, "sentence": "What time?"}
    write(folder, "sentences.json", json.dumps([{**entry, "folder_glosses": ["what", "time"]}]))


def asl_letters(folder: Path) -> None:
    shape = draw_hands(np.random.default_rng(8), 4)[..., :2]
    shape -= shape[:, :1]
    shape /= np.abs(shape).max(axis=(1, 2), keepdims=True)
    names = {"letter": np.array(["A", "B", "A", "Z"]), "source": np.array(["boris", "boris", "13lack", "13lack"])}
    np.savez(folder / "asl_letters.npz", xy=shape, **names)


def dgs_corpus(folder: Path) -> None:
    draw = np.random.default_rng(9)
    points = draw.uniform(0.1, 0.9, size=(5, 67, 2))
    points[:, 10], points[:, 11, 1], points[1, 25:46], points[3, 25:] = np.nan, 1, np.nan, np.nan
    np.savez(folder / "sentences.npz", seg_1=points.astype(np.float16), seg_2=points[:3].astype(np.float16))
    glosses = [[20, 40, "HAUS1A*", "r"], [40, 60, "$GEST-OFF^", "r"], [60, 100, "ICH2^", "l"]]
    both = {"document": "1", "german": "Mein Haus.", "english": "My house."}
    entries = [{"id": "seg_1", "signer": "ber-12", "frames": 5, **both, "glosses": glosses}]
    entries.append({"id": "seg_2", "signer": "ber-36", "frames": 3, **both, "glosses": [[0, 40, "$INDEX1", "r"]]})
    write(folder, "sentences.json", json.dumps(entries))


def dgs30(folder: Path) -> None:
    draw = np.random.default_rng(10)
    length = np.array([5, 6, 5, 4], dtype=np.int32)
    hands = draw_hands(draw, length.sum(), 2)
    hands[:7, 1] = np.nan
    hands[1] = [np.zeros((21, 3)), np.full((21, 3), np.nan)]
    hands[11:16] = hands[:5]  # the third clip is the first
    np.savez(
        folder / "dgs30.npz",
        length=length,
        sign=np.array([0, 1, 0, 1], dtype=np.int8),
        face=draw.uniform(0.4, 0.6, size=(length.sum(), 2)).astype(np.float16),
        hands=hands,
        signs=np.array(["bier", "fußball"]),
        clip_id=np.array(["a", "b", "c", "d"]),
    )


def ksl_guide(folder: Path) -> None:
    def label(name, *signs):
        data = [{"start": s, "end": e, "attributes": [{"name": g}]} for g, s, e in signs]
        return json.dumps({"metaData": {"name": f"{name}.mp4", "duration": 3.1}, "data": data})

    name = "NIA_SL_WORD0001_REAL01_F"
    write(folder, f"1.Training/label/01/{name}_morpheme.json", label(name, ("고민", 1.2, 2.5)))
    write(folder, f"1.Training/video/{name}.mp4", b"mp4")
    side = "NIA_SL_WORD0001_REAL01_L"
    write(folder, f"1.Training/label/01/{side}_morpheme.json", label(side, ("고민", 1.2, 2.5)))
    other = "NIA_SL_WORD0001_REAL17_F"
    write(folder, f"2.Validation/{other}_morpheme.json", label(other, ("고민", 1.0, 2.0)))
    sentence = "NIA_SL_SEN0003_REAL17_F"
    write(folder, f"2.Validation/{sentence}_morpheme.json", label(sentence, ("왼쪽", 2.0, 2.6), ("길", 1.0, 1.6)))


def gsl(folder: Path) -> None:
    path = "police1/police1_signer{s}_rep1_sentences/sentences000{n}"
    for split, signer in (("train", 1), ("dev", 2), ("test", 3)):
        lines = [f"{path.format(s=signer, n=n)}|ΓΕΙΑ ΕΓΩ(1) ΜΠΟΡΩ" for n in range(signer)]
        write(folder, f"GSL_split/gsl_split_SI_{split}.csv", "\n".join(lines) + "\n")
    write(folder, f"GSL_continuous/{path.format(s=1, n=0)}/frame_0000.jpg", b"jpg")


def boston104(folder: Path) -> None:
    rows = ["video,frame,left-x,left-y,right-x,right-y,nose-x,nose-y"]
    rows += [f"{video},{frame},{frame},181,170,175,161,{video}" for video in (1, 2) for frame in range(60)]
    write(folder, "hands_condensed.csv", "\n".join(rows))
    head = "video,speaker,word,startframe,endframe\n"
    write(folder, "train_words.csv", head + "1,woman-1,WRITE,22,50\n1,woman-1,JOHN,6,17\n")
    write(folder, "test_words.csv", head + "2,man-1,JOHN,7,20\n")


def roy_isl30(folder: Path) -> None:
    draw = np.random.default_rng(0)
    lengths = np.array([9, 12, 10])
    np.savez(
        folder / "roy_kinect_isl30_ub15fps.npz",
        poses=draw.normal(size=(lengths.sum(), 11, 3)).astype(np.float16),
        lengths=lengths,
        sign=np.array(["baby", "baby", "rain"]),
        signer=np.array(["S01", "S02", "S02"]),
        rep=np.array([1, 1, 2]),
    )


def roy_texts(folder: Path) -> None:
    write(folder, "baby_apurve_1.txt", "0.25 1.5 -3\n0.5 2.5 -2\n")
    write(folder, "rain_gautam_2.txt", "1 2 3\n")


def fingerspelling(folder: Path) -> None:
    rows = [
        "path,spoken_language,signed_language,start,end,words,glosses,priority",
        "ase/fs-a.pose,en,ase,0,2720,A,A,0",
    ]
    rows.append("gsg/fs-ae.pose,de,gsg,0,3000,ä,Ä,0")
    write(folder, "data.csv", "\n".join(rows) + "\n")


def phoenix_skeletons(folder: Path) -> None:
    draw = np.random.default_rng(1)
    for split, count in (("train", 2), ("dev", 1), ("test", 1)):
        lines = []
        for n in range(count):
            frames = np.concatenate([draw.normal(size=(5 + n, 150)), np.linspace(0, 1, 5 + n)[:, None]], axis=1)
            lines.append(" ".join(f"{value:.5f}" for value in frames.ravel()))
        text = ("\n".join(lines) + "\n").encode()
        write(
            folder,
            f"{split}.skels.gz" if split != "dev" else "dev.skels",
            gzip.compress(text) if split != "dev" else text,
        )
        write(folder, f"{split}.gloss", "DRUCK TIEF\n" * count)
        write(folder, f"{split}.text", "tiefer luftdruck .\n" * count)
        write(folder, f"{split}.files", "".join(f"{split}/clip-{n}\n" for n in range(count)))


def table(folder: Path) -> None:
    write(
        folder,
        "train.tsv",
        'id\tvideo\tglosses\ttext\tfps\ttrack.mediapipe\na\tclips/a.mp4\tIX-1p WORK\t"so\t25\ta.npz\n',
    )
    write(folder, "val.csv", 'video,glosses,text\nclips/b.mp4,WORK,"one, two"\n')
    row = {"id": "c", "frames": "c", "glosses": ["WORK"], "segments": [{"gloss": "WORK", "start": 0, "end": 0.5}]}
    write(folder, "test.jsonl", json.dumps(row) + "\n\n")


def folder(folder: Path) -> None:
    for name in ("train/go home/1.mp4", "train/hola/2.MOV", "validation/hola/3.mp4", "train/hola/notes.txt"):
        write(folder, name, b"mp4")


def elan(folder: Path) -> None:
    import pympi

    eaf = pympi.Elan.Eaf(author="test")
    eaf.add_linked_file("media/clip.mp4", relpath="media/clip.mp4", mimetype="video/mp4")
    eaf.remove_tier("default")
    for tier in ("gloss", "English"):
        eaf.add_tier(tier)
    for gloss, start, end in (("WORK", 700, 1200), ("IX-1p", 100, 500), ("FINISH", 2100, 2600)):
        eaf.add_annotation("gloss", start, end, gloss)
    eaf.add_annotation("English", 0, 1500, "I work.")
    eaf.add_annotation("English", 2000, 3000, "Done.")
    write(folder, "media/clip.mp4", b"mp4")
    eaf.to_file(str(folder / "talk.eaf"))


# loader -> (miniature, rows of each split)
def signsynth(root: Path) -> None:
    import pyarrow

    from signx_hf.data.schema import FEATURES, encode_poses, make_row

    write(root, "config.json", json.dumps({"signsynth": "1", "format": 1, "seed": 0, "limit": None, "config": {}}))
    for split, count in (("train", 2), ("dev", 1), ("test", 1)):
        for task in ("continuous", "isolated"):
            rows = []
            for number in range(count):
                name = f"{split}-{task[0]}{number}"
                poses = encode_poses({"smplerx": np.zeros((5, 165))}, fps=25.0)
                segments = [{"gloss": "IX-1p", "start": 0.04, "end": 0.16}]
                video = write(root, f"videos/{name}.mp4").relative_to(root).as_posix()
                fields = {"id": name, "video": video, "fps": 25.0, "num_frames": 5, "split": split, "poses": poses}
                rows.append(make_row(**fields, glosses=["IX-1p"], segments=segments, text="I."))
            table = pyarrow.Table.from_pylist(rows, schema=FEATURES.arrow_schema)
            path = root / f"{task}_{split}.arrow"
            with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)


MINIS = {
    "phoenix14": (phoenix14, {"train": 3, "dev": 2, "test": 1}),
    "phoenix14t": (phoenix14t, {"train": 3, "dev": 1, "test": 2}),
    "csl_daily": (csl_daily, {"train": 1, "dev": 1}),
    "how2sign": (how2sign, {"train": 2, "dev": 1}),
    "asllrp": (asllrp, {"train": 1}),
    "wlasl": (wlasl, {"train": 2, "dev": 1, "test": 1}),
    "wlasl_hands": (wlasl_hands, {"train": 4, "dev": 1, "test": 1}),
    "copycat": (copycat, {"train": 6}),
    "asl_webcam": (asl_webcam, {"test": 1}),
    "asl_letters": (asl_letters, {"train": 4}),
    "dgs_corpus": (dgs_corpus, {"train": 2}),
    "dgs30": (dgs30, {"train": 4}),
    "ksl_guide": (ksl_guide, {"train": 1, "dev": 1}),
    "gsl": (gsl, {"train": 1, "dev": 2, "test": 3}),
    "boston104": (boston104, {"train": 1, "test": 1}),
    "roy_isl30": (roy_isl30, {"train": 3}),
    "fingerspelling": (fingerspelling, {"train": 2}),
    "phoenix_skeletons": (phoenix_skeletons, {"train": 2, "dev": 1, "test": 1}),
    "table": (table, {"train": 1, "dev": 1, "test": 1}),
    "folder": (folder, {"train": 2, "dev": 1}),
    "elan": (elan, {"train": 1}),
    "signsynth": (signsynth, {"train": 2, "dev": 1, "test": 1}),
}
