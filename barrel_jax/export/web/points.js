// SPDX-License-Identifier: Apache-2.0
// Points of faces in a picture or the camera's frames, by ONNX Runtime Web. Boxes are x, y, w, h in the picture's pixels.
import * as ort from "./onnxruntime-web/ort.wasm.bundle.min.mjs";

const SMALLEST = 8; // pixels that a box must be wide and high
const LONGEST = 4; // times its shorter side that the longer side of a face's box may be
const ASK = "Drag a box around each face.";
const part = (id) => document.getElementById(id);
const view = part("view"), pen = view.getContext("2d");
const source = document.createElement("canvas"), reader = source.getContext("2d", { willReadFrequently: true });
const detector = "FaceDetector" in window ? new FaceDetector() : null;
let session, about, boxes = [], faces = [], drag = null, video = null, busy = Promise.resolve();
let located = boxes; // the boxes whose faces are shown
let asked = 0; // pictures and cameras that were asked for

const say = (text) => { part("state").textContent = text; };

async function start() {
  part("still").hidden = true;
  part("work").hidden = false;
  part("how").textContent = detector
    ? "Faces are found by this browser; drag a box around one that it does not see."
    : "This browser finds no faces by itself: drag a box around each face, as tight as from the brows to the chin.";
  about = await (await fetch("manifest.json")).json();
  // More threads need headers that a server of static files does not send.
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { wasm: new URL("onnxruntime-web/ort-wasm-simd-threaded.wasm", location.href).href };
  session = await ort.InferenceSession.create("model-image.onnx", { executionProviders: ["wasm"] });
  say("Ready.");
}

// The pixels of what is shown, uint8 [H, W, 3].
function pixels() {
  const { data, width, height } = reader.getImageData(0, 0, source.width, source.height);
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    rgb[to++] = data[from];
    rgb[to++] = data[from + 1];
    rgb[to++] = data[from + 2];
  }
  return new ort.Tensor("uint8", rgb, [height, width, 3]);
}

async function locate() {
  const given = boxes;
  faces = [];
  if (given.length) {
    await ready;
    const started = performance.now();
    const found = await session.run({
      image: pixels(),
      boxes: new ort.Tensor("float32", Float32Array.from(given.flat()), [given.length, 4]),
    });
    const count = found.points.dims[1];
    faces = given.map((box, face) => ({
      box,
      points: Array.from({ length: count }, (_, point) => {
        const at = 2 * (face * count + point);
        return [found.points.data[at], found.points.data[at + 1]];
      }),
      ...(found.sigma && { sigma: [...found.sigma.data.slice(face * count, (face + 1) * count)] }),
    }));
    say(`${faces.length} ${faces.length > 1 ? "faces" : "face"} in ${Math.round(performance.now() - started)} ms.`);
  }
  located = given;
  part("found").textContent = JSON.stringify(faces);
  draw();
}

// One after the other: a session runs one picture at a time.
const update = () => (busy = busy.then(locate).catch((error) => say(`This failed: ${error.message}`)));

function draw() {
  view.width = source.width;
  view.height = source.height;
  pen.drawImage(source, 0, 0);
  const unit = Math.max(view.width, view.height) / 400;
  pen.lineWidth = unit;
  pen.strokeStyle = "#4af";
  for (const box of drag ? [...boxes, drag.box] : boxes) pen.strokeRect(...box);
  for (const { points } of faces) {
    // The centre of the top-left pixel is (0, 0), and the canvas counts from its corner.
    const at = points.map(([x, y]) => [x + 0.5, y + 0.5]);
    pen.strokeStyle = "#fffa";
    for (const line of about.landmarks.contours ?? []) {
      pen.beginPath();
      line.forEach((point) => pen.lineTo(...at[point]));
      pen.stroke();
    }
    pen.fillStyle = "#0f6";
    for (const [x, y] of at) {
      pen.beginPath();
      pen.arc(x, y, unit, 0, 2 * Math.PI);
      pen.fill();
    }
  }
}

// What the browser's own detector sees, laid as the boxes of training are as far as is known: as it is.
const detected = async () => detector
  ? (await detector.detect(source).catch(() => [])).map(({ boundingBox: b }) => [b.x, b.y, b.width, b.height])
  : [];

// What to do next; where the model could not be loaded, that stays to be read.
const ask = () => ready.then(() => say(ASK), () => {});

function show(picture, width, height) {
  source.width = width;
  source.height = height;
  reader.drawImage(picture, 0, 0, width, height);
  part("whole").disabled = part("clear").disabled = false;
}

async function open(file) {
  const turn = stop();
  let picture;
  try {
    picture = await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch {
    if (turn !== asked) return;
    await update(); // the faces of what was shown are gone
    return turn === asked && say(`${file.name}: this browser cannot read it as a picture.`);
  }
  if (turn !== asked) return;
  show(picture, picture.width, picture.height);
  draw();
  const found = await detected();
  if (turn !== asked) return;
  boxes = [...found, ...boxes];
  await update();
  if (!boxes.length) ask();
}

// Whether a box can be that of a face: on a wall points draw together, and the box around them with them.
const plausible = ([x, y, width, height]) =>
  Math.min(width, height) >= SMALLEST && Math.max(width, height) <= LONGEST * Math.min(width, height) &&
  x < source.width && y < source.height && x + width > 0 && y + height > 0;

// The box of a face that was found in the frame before; without a fit, the box stays where it was drawn.
function follow({ box, points }) {
  const fit = about.box.of_points;
  if (!fit) return box;
  const xs = points.map(([x]) => x + 0.5), ys = points.map(([, y]) => y + 0.5);
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  const [w, h] = [Math.max(...xs) - left, Math.max(...ys) - top];
  const [width, height] = [w * fit.size[0], h * fit.size[1]];
  return [left + w * (0.5 + fit.shift[0]) - width / 2, top + h * (0.5 + fit.shift[1]) - height / 2, width, height];
}

async function camera() {
  if (!navigator.mediaDevices) return say("A browser gives its camera to pages of https and of localhost alone.");
  const turn = stop();
  const own = document.createElement("video");
  own.playsInline = own.muted = true; // or a telephone shows it in a player of its own
  try {
    own.srcObject = await navigator.mediaDevices.getUserMedia({ video: true });
  } catch (error) {
    if (turn !== asked) return;
    await update();
    return turn === asked && say(`No camera: ${error.message}`);
  }
  if (turn !== asked) return end(own);
  video = own;
  await own.play();
  if (!detector) ask();
  while (video === own) {
    show(own, own.videoWidth, own.videoHeight);
    if (!boxes.length && !drag) {
      const before = boxes, found = await detected();
      if (video !== own) break; // a picture was opened meanwhile
      if (boxes === before) boxes = found; // and nothing was drawn
    }
    await update();
    if (boxes === located && faces.length && video === own) { // and nothing was drawn or cleared meanwhile
      boxes = faces.map(follow).filter(plausible);
      if (!boxes.length && !detector) say("The face is lost: drag a box around it.");
    }
    await new Promise(requestAnimationFrame);
  }
}

const end = (own) => own?.srcObject.getTracks().forEach((track) => track.stop());

// Ends what is shown; returns the number of what comes next, by which it sees whether something else was asked for since.
function stop() {
  end(video);
  video = null;
  boxes = [];
  faces = [];
  return ++asked;
}

function place(event) {
  const shown = view.getBoundingClientRect();
  return [
    ((event.clientX - shown.left) / shown.width) * view.width,
    ((event.clientY - shown.top) / shown.height) * view.height,
  ];
}

view.addEventListener("pointerdown", (event) => {
  if (!source.width || part("whole").disabled) return;
  view.setPointerCapture(event.pointerId);
  drag = { from: place(event), box: [0, 0, 0, 0] };
});
view.addEventListener("pointermove", (event) => {
  if (!drag) return;
  const [x, y] = place(event), [fromX, fromY] = drag.from;
  drag.box = [Math.min(x, fromX), Math.min(y, fromY), Math.abs(x - fromX), Math.abs(y - fromY)];
  draw();
});
view.addEventListener("pointerup", () => {
  const drawn = drag?.box;
  drag = null;
  if (!drawn || Math.min(drawn[2], drawn[3]) < SMALLEST) return source.width && draw();
  boxes = [...boxes, drawn];
  return update();
});
view.addEventListener("pointercancel", () => { drag = null; draw(); });
part("whole").addEventListener("click", () => { boxes = [[0, 0, source.width, source.height]]; update(); });
part("clear").addEventListener("click", () => { boxes = []; update().then(ask); });
part("camera").addEventListener("click", camera);
part("file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  target.value = ""; // the same picture may be chosen again
  if (file) open(file);
});
document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("over"); });
document.addEventListener("dragleave", () => document.body.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) open(file);
});

const ready = start().catch((error) => { throw new Error(`the model cannot be loaded: ${error.message}`); });
ready.catch((error) => say(`This failed: ${error.message}`));
