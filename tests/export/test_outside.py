# SPDX-License-Identifier: Apache-2.0
"""An export where this project is not: in a bare Python, and in a browser; the points are Predictor's."""

import functools
import http.server
import json
import re
import shutil
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest

from barrel_jax import pictures as picture_files
from barrel_jax.export import run_onnx, run_stablehlo, webpage
from barrel_jax.export.__main__ import main
from barrel_jax.export.write import export
from barrel_jax.faces.crop_windows import PROTOCOLS, crop_window
from barrel_jax.input.splits import load_split
from barrel_jax.predict.predictor import Predictor
from barrel_jax.training.trained import TrainedRun
from data.prepare import prepare_config
from tests.kit.browser import Browser, needs_browser
from tests.kit.saved_run import save_run
from tests.kit.small import config as small

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
SIZE, K = 64, 29
# Ten pictures of different sizes: upright, wide, of odd sides, small, and too large to be cut without shrinking.
SIZES = [
    (97, 131),
    (180, 120),
    (64, 64),
    (301, 203),
    (33, 47),
    (512, 288),
    (250, 250),
    (640, 480),
    (401, 599),
    (71, 90),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outside")
    options = {"synthetic_train": 1, "synthetic_test": 2, "image_size": SIZE, "data_dir": str(folder / "sets")}
    config = small(**{f"data__{name}": value for name, value in options.items()}, model__uncertainty=True)
    crops = load_split(config.data, prepare_config(config.data), "test")
    save_run(folder / "run", config, crops)
    export(TrainedRun.open(folder / "run"), folder / "export", ("stablehlo", "onnx"))
    return folder


@pytest.fixture(scope="module")
def pictures():
    """Images and boxes [n, 4] of none, one and two faces, some over the border."""
    rng, made = np.random.default_rng(0), []
    for number, (width, height) in enumerate(SIZES):
        grain = rng.integers(0, 256, (height // 6 + 2, width // 6 + 2, 3), np.uint8)
        image = cv2.resize(grain, (width, height), interpolation=cv2.INTER_LINEAR)
        boxes = rng.uniform([-0.1, -0.1, 0.4, 0.4], [0.4, 0.4, 0.7, 0.7], (number % 3, 4)) * ([width, height] * 2)
        made.append((image, boxes.astype(np.float32).astype(np.float64)))
    return made


@pytest.fixture(scope="module")
def expected(run, pictures):
    """Points [n, K, 2] and sigma [n, K] of every picture, by JAX."""
    predictor = Predictor.load(run / "run", backend="jax")
    found = [predictor.faces(image, boxes) for image, boxes in pictures]
    return [(np.array([face.points for face in faces]).reshape(-1, K, 2),
             np.array([face.sigma for face in faces]).reshape(-1, K)) for faces in found]  # fmt: skip


@pytest.mark.processes
def test_run_onnx_gives_predictors_points_where_this_project_is_not(run, pictures, expected, tmp_path):
    given = {f"{kind}{number}": value for number, pair in enumerate(pictures)
             for kind, value in zip(("image", "boxes"), pair, strict=True)}  # fmt: skip
    np.savez(tmp_path / "given.npz", **given)
    # Isolated: neither the folder nor PYTHONPATH is looked in, and the project cannot be imported.
    program = f"""
import sys
sys.modules["barrel_jax"] = sys.modules["jax"] = sys.modules["onnx"] = None
sys.path.insert(0, {str(run / "export")!r})
import numpy as np, run_onnx
given, predict = np.load("given.npz"), run_onnx.load({str(run / "export")!r})
np.savez("found.npz", **{{f"{{kind}}{{n}}": value for n in range({len(pictures)})
    for kind, value in zip(("points", "sigma"), predict(given[f"image{{n}}"], given[f"boxes{{n}}"]))}})
"""
    subprocess.run([sys.executable, "-I", "-c", program], cwd=tmp_path, check=True)
    found = np.load(tmp_path / "found.npz")
    for number, (points, sigma) in enumerate(expected):
        np.testing.assert_allclose(found[f"points{number}"], points, rtol=0, atol=0.05)
        np.testing.assert_allclose(found[f"sigma{number}"], sigma, rtol=1e-3)
    spread = np.concatenate([points - points.mean(axis=1, keepdims=True) for points, _ in expected])
    assert spread.std(axis=0).mean() > 2  # the points follow the pictures


def test_run_stablehlo_gives_predictors_points(run, pictures, expected):
    predict = run_stablehlo.load(run / "export")
    for number in (0, 1, 2):  # each size of picture is compiled
        points, sigma = predict(*pictures[number])
        np.testing.assert_allclose(points, expected[number][0], rtol=0, atol=0.05)
        np.testing.assert_allclose(sigma, expected[number][1], rtol=1e-3)


@pytest.mark.parametrize("program", [run_onnx, run_stablehlo])
def test_the_programs_beside_an_export_read_pictures_as_predict_does(program, tmp_path):
    """16 bits of grey too, which Pillow alone makes white."""
    grey = np.linspace(0, 65_535, 40 * 30).reshape(40, 30).astype(np.uint16)
    for name, pixels in (("16.png", grey), ("8.png", (grey >> 8).astype(np.uint8))):
        cv2.imwrite(str(tmp_path / name), pixels)
        np.testing.assert_allclose(program.read(tmp_path / name), np.repeat((grey >> 8)[..., None], 3, 2), atol=1)
        seen = picture_files.decode((tmp_path / name).read_bytes())
        np.testing.assert_allclose(program.read(tmp_path / name), seen, atol=1)
    with pytest.raises(SystemExit, match="PICTURE X Y W H"):
        program.main([])
    with pytest.raises(SystemExit, match="PICTURE X Y W H"):
        program.main([str(tmp_path / "8.png"), "1", "2", "3"])
    for box in (["500", "0", "10", "10"], ["0", "0", "0", "10"], ["nan", "0", "5", "5"], ["0", "0", "inf", "5"]):
        with pytest.raises(SystemExit, match=r"no box x y w h in a picture of 30x40"):
            program.main([str(tmp_path / "8.png"), *box])


@pytest.mark.parametrize("program", [run_onnx, run_stablehlo])
def test_the_programs_beside_an_export_say_in_one_line_what_is_missing(program, tmp_path, monkeypatch):
    picture, broken = tmp_path / "8.png", tmp_path / "broken.png"
    cv2.imwrite(str(picture), np.zeros((40, 30), np.uint8))
    broken.write_bytes(picture.read_bytes()[:40])
    monkeypatch.setattr(program, "__file__", str(tmp_path / "program"))
    model = tmp_path / f"model-image.{program.__name__.rpartition('_')[2]}"
    float_grey = tmp_path / "float.tiff"
    cv2.imwrite(str(float_grey), np.full((4, 4), 0.5, np.float32))
    monkeypatch.setattr(program, "LARGEST", 40 * 30)
    large = tmp_path / "large.png"
    cv2.imwrite(str(large), np.zeros((41, 30), np.uint8))
    for words, said in (
        ([float_grey, "0", "0", "9", "9"], f"{float_grey}: no picture can be read there (its grey levels are no whole"),
        ([large, "0", "0", "9", "9"], f"{large}: no picture can be read there (30x41 pixels are more than 1,200)"),
        ([tmp_path / "none.png", "0", "0", "9", "9"], f"{tmp_path / 'none.png'}: no picture can be read there"),
        ([tmp_path, "0", "0", "9", "9"], f"{tmp_path}: no picture can be read there"),
        ([broken, "0", "0", "9", "9"], f"{broken}: no picture can be read there"),
        ([picture, "0", "0", "9", "wide"], "could not convert string to float: 'wide'; a box is four numbers"),
        ([picture, "0", "0", "9", "9"], f"{model}: no model is there; keep this program beside the files"),
    ):
        with pytest.raises(SystemExit) as ended:
            program.main([str(word) for word in words])
        assert ended.value.code.startswith(said) and "\n" not in ended.value.code


@pytest.mark.parametrize("program", [run_onnx, run_stablehlo])
def test_a_part_of_a_model_is_not_run(run, program, tmp_path, monkeypatch):
    name = f"model-image.{program.__name__.rpartition('_')[2]}"
    whole = (run / "export" / name).read_bytes()
    for part in (whole[: len(whole) // 2], whole[:-1], b""):  # StableHLO that lacks its last byte could be read
        (tmp_path / name).write_bytes(part)
        shutil.copy(run / "export" / "manifest.json", tmp_path)
        with pytest.raises(
            ValueError, match=rf"{name}: not the file that manifest.json tells of, perhaps a part of it"
        ):
            program.load(tmp_path)
    cv2.imwrite(str(tmp_path / "8.png"), np.zeros((9, 9), np.uint8))
    monkeypatch.setattr(program, "__file__", str(tmp_path / "program"))
    with pytest.raises(SystemExit, match="copy both anew"):
        program.main([str(tmp_path / "8.png"), "0", "0", "9", "9"])
    (tmp_path / "manifest.json").write_bytes((run / "export" / "manifest.json").read_bytes()[:300])
    with pytest.raises(SystemExit, match=r"manifest\.json: this is no JSON, perhaps a part of it; copy it anew"):
        program.main([str(tmp_path / "8.png"), "0", "0", "9", "9"])
    (tmp_path / "manifest.json").write_text('{"num_landmarks": 29}')  # a page's, which names no files
    assert program.content(tmp_path / name) == part == b""


@pytest.mark.processes
def test_run_onnx_prints_the_points(run, pictures, expected, tmp_path):
    image, boxes = pictures[1]
    cv2.imwrite(str(tmp_path / "face.png"), image[..., ::-1])
    shutil.copy(run / "export" / "run_onnx.py", tmp_path)
    shutil.copy(run / "export" / "model-image.onnx", tmp_path)
    words = [str(tmp_path / "face.png"), *(repr(float(number)) for number in boxes[0])]
    printed = subprocess.run([sys.executable, tmp_path / "run_onnx.py", *words], capture_output=True, check=True)
    np.testing.assert_allclose(json.loads(printed.stdout), expected[1][0][:1], rtol=0, atol=0.05)


@pytest.mark.parametrize("crop", ["pipnet", "hrnet"])
def test_the_manifest_is_enough_to_lay_the_window(run, crop):
    from barrel_jax.export.conventions import conventions

    trained = TrainedRun.open(run / "run")
    trained.config.data.crop = crop
    about = json.loads(json.dumps(conventions(trained.config, trained.facts)))
    (x, y, w, h), extent = (30.0, 40.0, 50.0, 90.0), (100, 110)
    # By what the manifest says alone.
    rule = about["window"]
    left, top, right, bottom = rule["margins"]
    low, high = np.array([x - left * w, y - top * h]), np.array([x + w + right * w, y + h + bottom * h])
    if rule["square"]:
        centre, half = (low + high) / 2, (high - low).max() / 2
        low, high = centre - half, centre + half
    if not rule["padded"]:
        low, high = np.maximum(low, 0), np.minimum(high, extent)
    protocol = PROTOCOLS[crop].get("synthetic", PROTOCOLS[crop]["others"])
    window = crop_window(protocol, np.array([x, y, w, h]), np.zeros((1, 2)), np.zeros(1, bool), np.array(extent))
    np.testing.assert_allclose(np.concatenate([low, high - low]), window)
    marks = about["landmarks"]
    assert len(marks["names"]) == K == len(set(marks["names"])) and marks["scheme"] == "cofw-29"
    assert marks["names"][28] == "jaw 0" and [0, 1] in marks["flip_pairs"] and [18, 21, 19] in marks["contours"]
    assert marks["normaliser"]["points"] == [8, 9]
    assert about["sampling"]["beyond"] == ("black" if crop == "hrnet" else "the pixels at the border go on")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        """A file of the page; of `held` ones once they are let go, of `lost` ones none."""
        name = self.path.lstrip("/")
        self.server.held.get(name, self.server.held["everything else"]).wait()
        if name in self.server.lost:
            self.send_error(404)
        else:
            super().do_GET()

    def log_message(self, *words):
        """Says nothing."""


@pytest.fixture
def server(run, tmp_path, monkeypatch):
    monkeypatch.delenv("BARREL_JAX_DATA")  # what was fetched once is the user's
    try:
        webpage.write_page(run / "export", tmp_path / "page")
    except FileNotFoundError as error:
        pytest.skip(f"no ONNX Runtime Web here: {error}")
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path / "page")
    ) as server:
        server.page = tmp_path / "page"
        server.held, server.lost = {"everything else": threading.Event()}, set()
        server.held["everything else"].set()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def browser():
    browser = Browser()
    yield browser
    browser.close()


STATE = "document.getElementById('state').textContent"
FOUND = "JSON.parse(document.getElementById('found').textContent)"


def open_page(browser, server):
    browser.open(f"http://127.0.0.1:{server.server_port}/")


def drop(browser, image):
    """A picture, dropped onto the page."""
    picture = cv2.imencode(".png", image[..., ::-1])[1].tobytes().hex()
    browser.run(f"""{{
        const bytes = Uint8Array.from('{picture}'.match(/../g), (pair) => parseInt(pair, 16));
        const held = new DataTransfer();
        held.items.add(new File([bytes], 'face.png', {{type: 'image/png'}}));
        document.dispatchEvent(new DragEvent('drop', {{dataTransfer: held, bubbles: true, cancelable: true}}));
    }}""")
    wait_for(browser, "document.getElementById('view').width === 512")
    browser.run("new Promise((done) => setTimeout(done, 200))")


def test_a_page_tells_its_visitors_nothing_of_the_machine(run, server):
    page = server.page
    about = json.loads((page / "manifest.json").read_text())
    assert about["landmarks"]["scheme"] == "cofw-29" and about["box"]["of_points"]
    assert not {"config", "machine", "versions"} & set(about) and str(run) not in (page / "manifest.json").read_text()
    # Into the export's own folder it may go too, whose manifest stays whole.
    shutil.copytree(run / "export", page / "both")
    webpage.write_page(page / "both", page / "both")
    assert "config" in json.loads((page / "both" / "manifest.json").read_text())


def test_the_model_of_the_package_is_exported_by_its_name(pictures, tmp_path, capsys):
    """What Predictor finds at the first look, without a run."""
    assert main(["small", "--formats", "onnx", "--out", str(tmp_path)]) == 0
    image, boxes = pictures[5][0], np.array([[100.0, 40, 230, 230]])
    points, sigma = run_onnx.load(tmp_path)(image, boxes)
    (known,) = Predictor.load("small", refine=0, backend="jax").faces(image, boxes)
    np.testing.assert_allclose(points[0], known.points, rtol=0, atol=0.05)
    np.testing.assert_allclose(sigma[0], known.sigma, rtol=0.01)
    capsys.readouterr()
    for arguments, said in (
        (["small"], "small: this model is a file, so give the folder that is written with --out"),
        (
            ["small", "--out", str(tmp_path), "--rank", "2"],
            "small: this model is packed; --rank and --formats packed are",
        ),
        (["smal", "--out", str(tmp_path)], "smal: no run there, .*no model has that name"),
    ):
        assert main(arguments) == 1
        assert re.search(said, capsys.readouterr().err)


@needs_browser
def test_the_page_gives_predictors_points(run, pictures, server, browser):
    image = pictures[5][0]
    open_page(browser, server)
    wait_for(browser, f"{STATE} !== 'Loading the model.'")
    assert (browser.run(STATE), browser.complaints) == ("Ready.", [])
    drop(browser, image)
    assert browser.run(STATE) == "Drag a box around each face."
    drag(browser, (100, 40), (330, 270))
    drag(browser, (390, 150), (540, 320))  # over two edges of the picture
    wait_for(browser, f"{FOUND}.length === 2")
    faces = browser.run(FOUND)
    browser.run("document.getElementById('clear').click()")
    wait_for(browser, f"{STATE} === 'Drag a box around each face.'")
    assert (browser.run(FOUND), browser.complaints) == ([], [])
    boxes = np.array([face["box"] for face in faces])
    np.testing.assert_allclose(boxes[0], [100, 40, 230, 230], atol=1)
    expected = Predictor.load(run / "run", backend="jax").faces(image, boxes)
    for face, known in zip(faces, expected, strict=True):
        np.testing.assert_allclose(face["points"], known.points, rtol=0, atol=0.5)
        np.testing.assert_allclose(face["sigma"], known.sigma, rtol=0.01)


@needs_browser
def test_a_box_drawn_before_the_model_is_there_waits_for_it(pictures, server, browser):
    server.held["model-image.onnx"] = threading.Event()
    open_page(browser, server)
    drop(browser, pictures[5][0])
    drag(browser, (100, 40), (330, 270))
    assert browser.run(STATE) == "Loading the model."
    server.held["model-image.onnx"].set()
    wait_for(browser, f"{FOUND}.length === 1")
    assert browser.run(STATE).startswith("1 face in ") and browser.complaints == []


@needs_browser
def test_why_the_model_cannot_be_loaded_stays_to_be_read(pictures, server, browser):
    server.lost.add("model-image.onnx")
    open_page(browser, server)
    wait_for(browser, f"{STATE} !== 'Loading the model.'")
    why = browser.run(STATE)
    assert why.startswith("This failed: the model cannot be loaded: ")
    drop(browser, pictures[5][0])
    drag(browser, (100, 40), (330, 270))
    browser.run("new Promise((done) => setTimeout(done, 300))")
    assert (browser.run(STATE), browser.run(FOUND)) == (why, [])


@needs_browser
def test_the_camera_gives_up_a_box_that_shows_no_face_and_ends_when_asked_again(pictures, server, browser):
    open_page(browser, server)
    wait_for(browser, f"{STATE} === 'Ready.'")
    browser.run("""{
        const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        window.streams = [];
        navigator.mediaDevices.getUserMedia = async (what) => {
            const stream = await open(what);
            window.streams.push(stream.getTracks()[0]);
            return stream;
        };
    }""")
    alive = "window.streams.map((track) => track.readyState)"
    browser.run("document.getElementById('camera').click(); document.getElementById('camera').click()")
    wait_for(browser, f"{alive}.join() === 'ended,live'")
    wait_for(browser, f"{STATE} === 'Drag a box around each face.' && document.getElementById('view').width === 640")
    drag(browser, (100, 40), (330, 270))  # no face is there: points of a drawn model draw together
    wait_for(browser, f"{STATE} === 'The face is lost: drag a box around it.'")
    drop(browser, pictures[5][0])
    assert browser.run(alive) == ["ended", "ended"] and browser.complaints == []


def wait_for(browser, condition):
    browser.run(f"""new Promise((done, fail) => {{
        const end = performance.now() + 50000;
        const look = () => {condition} ? done() : performance.now() > end ? fail('too long') : setTimeout(look, 50);
        look();
    }})""")


def drag(browser, first, last):
    """By the mouse, from one place of the picture to another."""
    browser.run("document.getElementById('view').scrollIntoView()")
    left, top, scale = browser.run(
        "{const v = document.getElementById('view'), b = v.getBoundingClientRect(); [b.left, b.top, b.width / v.width]}"
    )
    for kind, (x, y), held in (("mousePressed", first, 1), ("mouseMoved", last, 1), ("mouseReleased", last, 0)):
        button = {"button": "left", "buttons": held, "clickCount": 1}
        browser.send("Input.dispatchMouseEvent", type=kind, x=left + x * scale, y=top + y * scale, **button)


@needs_browser
def test_what_is_drawn_while_the_browsers_detector_looks_counts(server, browser):
    """And what cannot be read, or is no camera, leaves no faces of what was shown before."""
    browser.send(
        "Page.addScriptToEvaluateOnNewDocument",
        source="""window.FaceDetector = class {
            detect() {
                window.looks = (window.looks ?? 0) + 1;
                const seen = window.looks > 1 ? [] : [{ boundingBox: { x: 10, y: 10, width: 60, height: 60 } }];
                return new Promise((done) => setTimeout(() => done(seen), 1500));
            }
        };""",
    )
    open_page(browser, server)
    wait_for(browser, f"{STATE} === 'Ready.'")
    browser.run("""{
        const found = document.getElementById('found');
        window.boxes = new Set();
        const note = () => JSON.parse(found.textContent).forEach(({ box }) => window.boxes.add(box.join()));
        new MutationObserver(note).observe(found, { childList: true });
        document.getElementById('camera').click();
    }""")
    wait_for(browser, "window.looks === 1")
    browser.run("document.getElementById('whole').click()")
    wait_for(browser, "window.boxes.has('0,0,640,480')")
    browser.run("new Promise((done) => setTimeout(done, 2500))")  # the detector has answered
    assert not browser.run("window.boxes.has('10,10,60,60')")
    browser.run("""{
        const held = new DataTransfer();
        held.items.add(new File(['words'], 'words.mp4', { type: 'video/mp4' }));
        document.dispatchEvent(new DragEvent('drop', { dataTransfer: held, bubbles: true, cancelable: true }));
    }""")
    wait_for(browser, f"{STATE} === 'words.mp4: this browser cannot read it as a picture.'")
    assert browser.run(FOUND) == []
    browser.run("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
    browser.run("document.getElementById('camera').click()")
    wait_for(browser, f"{STATE} === 'A browser gives its camera to pages of https and of localhost alone.'")
    assert browser.complaints == []
