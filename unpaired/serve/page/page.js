// One image at a time goes to POST translate; what comes back is shown beside it and offered as a file.
import { zip } from "./zip.js";

const $ = (id) => document.getElementById(id);
const SUFFIX = { "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/tiff": "tif", "image/bmp": "bmp" };
const RETRIES = 20;
let offer = { models: [], max_bytes: Infinity, max_pixels: Infinity };
let token = sessionStorage.getItem("token") || "";
let last = Promise.resolve();
const works = new Set();

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const headers = () => (token ? { Authorization: `Bearer ${token}` } : {});
const size = (bytes) => (bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

function say(text, state = "") {
  $("status").textContent = text;
  $("status").className = state;
}

// What the server offers

async function connect() {
  for (;;) {
    try {
      const answer = await fetch("models", { headers: headers() });
      if (answer.ok) return welcome(await answer.json());
      if (answer.status === 401) await askForToken();
      else say("The models are being loaded …");
    } catch {
      say("The server does not answer; trying again …", "lost");
    }
    await pause(0.5);
  }
}

function askForToken() {
  $("token").showModal();
  return new Promise((resolve) => {
    $("token").addEventListener("close", () => {
      token = $("token-value").value;
      sessionStorage.setItem("token", token);
      resolve();
    }, { once: true });
  });
}

function welcome(found) {
  offer = found;
  $("model").replaceChildren(...offer.models.map(({ name }) => new Option(name, name)));
  $("model-field").hidden = offer.models.length === 1;
  const megapixels = (offer.max_pixels / 1e6).toFixed(1).replace(".0", "");
  $("limits").textContent = `JPEG, PNG, WebP, TIFF or BMP, up to ${size(offer.max_bytes)} and ${megapixels} megapixels.`;
  showDirections();
  say(offer.models.length === 1 ? `${offer.models[0].name} is ready` : `${offer.models.length} models are ready`, "ready");
}

const named = (name) => offer.models.find((model) => model.name === name);

// A direction by the names of its domains; nothing before the server has answered.
function arrow(model, direction) {
  const ends = model ? [model.domains.A, model.domains.B] : [];
  return (direction === "BtoA" ? ends.reverse() : ends).join(" → ");
}

function showDirections() {
  const model = named($("model").value);
  const row = document.createElement("div");
  row.className = "choices";
  for (const [number, direction] of Object.keys(model.directions).entries()) {
    const label = document.createElement("label");
    const radio = Object.assign(document.createElement("input"), { type: "radio", name: "direction", value: direction, checked: !number });
    const text = Object.assign(document.createElement("span"), { textContent: arrow(model, direction) });
    label.append(radio, text);
    row.append(label);
  }
  $("directions").querySelector(".choices")?.remove();
  $("directions").append(row);
  showAbout(model);
}

function showAbout({ name, about }) {
  $("about-model").hidden = !about;
  if (!about) return;
  $("about-model").querySelector(".summary").textContent = about.summary;
  $("about-model").querySelector(".facts").textContent = `Trained at ${about.size} px. Training data: ${about.licence}.`;
  const image = $("about-model").querySelector("img");
  image.hidden = !about.example;
  if (about.example) {
    image.src = `examples/${encodeURIComponent(name)}`;
    image.alt = `Examples of ${name}: inputs and their translations`;
  }
}

// Other settings: every image is translated again with them.
function redo() {
  for (const work of works) {
    work.request?.abort();
    work.settings = undefined;
    begin(work);
  }
}

// An image and its card

function add(files) {
  for (const file of files) {
    const card = $("card").content.firstElementChild.cloneNode(true);
    const work = { file, card, urls: [] };
    card.querySelector("h2").textContent = file.name;
    card.querySelector(".remove").addEventListener("click", () => remove(work));
    card.querySelector(".again").addEventListener("click", () => begin(work));
    card.querySelector(".smaller").addEventListener("click", () => shrink(work));
    card.querySelector("input").addEventListener("input", (event) => slide(card, event.target));
    works.add(work);
    $("results").prepend(card);
    document.body.classList.add("has-results");
    begin(work);
  }
}

function remove(work) {
  work.request?.abort();
  work.gone = true;
  works.delete(work);
  work.urls.forEach(URL.revokeObjectURL);
  const next = work.card.nextElementSibling ?? work.card.previousElementSibling;
  work.card.remove();
  (next?.querySelector(".remove") ?? $("choose")).focus();
  document.body.classList.toggle("has-results", $("results").childElementCount > 0);
  offerAll();
}

function begin(work) {
  const { file, card } = work;
  const direction = document.querySelector("[name=direction]:checked")?.value;
  const turn = (work.turn = (work.turn ?? 0) + 1);
  work.result = undefined;
  work.failed = false;
  offerAll();
  work.settings ??= { model: $("model").value, direction, format: $("format").value, scale: $("scale").value };
  for (const part of [".error", ".again", ".smaller", ".download", ".compare", ".unseen"]) card.querySelector(part).hidden = true;
  card.querySelector(".waiting").hidden = false;
  card.querySelector("progress").removeAttribute("value");
  card.setAttribute("aria-busy", "true");
  facts(work, "waiting");
  preview(card.querySelector(".waiting img"), file, work).catch(() => {});
  last = last.then(() => work.gone || work.turn !== turn || translate(work, turn));
}

const facts = (work, ...words) => {
  const { model, direction } = work.settings;
  work.card.querySelector(".facts").textContent = [...words, arrow(named(model), direction), offer.models.length > 1 ? model : ""].filter(Boolean).join(" · ");
};

async function preview(image, blob, work) {
  const url = URL.createObjectURL(blob);
  work.urls.push(url);
  image.src = url;
  await image.decode();
  image.classList.toggle("small", image.naturalWidth < 200);
  return image;
}

async function translate(work, turn) {
  const { file, card } = work;
  const superseded = () => work.gone || work.turn !== turn;
  try {
    if (!offer.models.length) throw new Problem("The server is not ready yet.");
    if (file.size > offer.max_bytes) throw new Problem(`This file has ${size(file.size)}; the server takes up to ${size(offer.max_bytes)}.`, "smaller");
    facts(work, "sending");
    const begun = performance.now();
    const result = await patiently(work, superseded);
    if (superseded()) return;
    await show(work, result, (performance.now() - begun) / 1000);
  } catch (problem) {
    if (!superseded()) fail(work, problem);
  } finally {
    if (!superseded()) card.removeAttribute("aria-busy");
    offerAll();
  }
}

class Problem extends Error {
  constructor(text, remedy = "again") {
    super(text);
    this.remedy = remedy;
  }
}

async function patiently(work, superseded) {
  for (let attempt = 0; ; attempt++) {
    const answer = await send(work);
    if (answer.status === 200) return answer.response;
    const { detail } = await answer.response.text().then(JSON.parse).catch(() => ({ detail: `The server answered ${answer.status}.` }));
    if (answer.status === 401) await askForToken();
    else if (answer.status === 503 && attempt < RETRIES) {
      facts(work, "the server is busy, waiting");
      await pause(Math.min(10, Number(answer.getResponseHeader("Retry-After")) || 2));
    } else {
      const remedy = /over the limit|more memory/.test(detail) ? "smaller" : answer.status === 422 ? "remove" : "again";
      throw new Problem(sentence(detail.replace(/^image: /, "")), remedy);
    }
    if (superseded()) throw new Problem("removed");
  }
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`.replace(/\.+$/, ".");

function send(work) {
  const query = new URLSearchParams(Object.entries(work.settings).filter(([, value]) => value));
  const request = Object.assign(new XMLHttpRequest(), { responseType: "blob" });
  work.request = request;
  const bar = work.card.querySelector("progress");
  return new Promise((resolve, reject) => {
    request.open("POST", `translate?${query}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => { bar.value = loaded / total; };
    request.upload.onload = () => { bar.removeAttribute("value"); facts(work, "translating"); };
    request.onload = () => resolve(request);
    request.onerror = () => reject(new Problem("The server could not be reached. Is it still running?"));
    request.onabort = () => reject(new Problem("removed"));
    request.send(work.file);
  });
}

async function show(work, result, seconds) {
  const { file, card } = work;
  card.querySelector(".waiting").hidden = true;
  const name = `${file.name.replace(/\.[^.]+$/, "")}_${work.settings.direction}.${suffix(file.name, result.type)}`;
  const url = URL.createObjectURL(result);
  work.urls.push(url);
  work.result = { name, blob: result };
  const link = Object.assign(card.querySelector(".download"), { href: url, download: name, hidden: false });
  link.setAttribute("aria-label", `Download ${name}`);
  const took = `${seconds.toFixed(1)} s`;
  try {
    const [before, after] = [card.querySelector(".before"), card.querySelector(".after")];
    await Promise.all([preview(before, file, work), preview(after, result, work)]);
    // Both images fill the frame of the result, also where the training size has other proportions.
    card.style.setProperty("--ratio", after.naturalWidth / after.naturalHeight);
    before.alt = `${file.name}, before`;
    after.alt = `${file.name}, after`;
    const slider = card.querySelector("input");
    slider.setAttribute("aria-label", `Before and after of ${file.name}`);
    card.querySelector(".compare").hidden = false;
    slide(card, slider);
    facts(work, `${after.naturalWidth} × ${after.naturalHeight}`, size(result.size), took);
  } catch {
    card.querySelector(".unseen").hidden = false;
    facts(work, size(result.size), took);
  }
}

const suffix = (name, type) => {
  const own = name.split(".").pop().toLowerCase();
  const same = { jpeg: "jpg", tiff: "tif" }[own] ?? own;
  return same === SUFFIX[type] ? name.split(".").pop() : SUFFIX[type];
};

// Several results are offered in one archive once no image is waiting; images that failed are left out.
function offerAll() {
  const done = results().length, failed = [...works].filter((work) => work.failed).length;
  const waiting = works.size - done - failed;
  $("all").hidden = works.size < 2;
  $("download-all").disabled = waiting > 0 || !done;
  $("download-all").textContent = waiting ? `Download all (${done} of ${works.size} ready)` : failed ? `Download all (${done}; ${failed} failed)` : "Download all";
}

const results = () => [...works].filter((work) => work.result);

async function downloadAll() {
  const names = new Map();
  const files = results().map(({ result: { name, blob } }) => {
    const count = (names.get(name) ?? 0) + 1;
    names.set(name, count);
    return { name: count > 1 ? name.replace(/(\.[^.]*)?$/, ` (${count})$1`) : name, blob };
  });
  const url = URL.createObjectURL(await zip(files));
  Object.assign(document.createElement("a"), { href: url, download: "translations.zip" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function slide(card, slider) {
  card.style.setProperty("--at", `${slider.value}%`);
  slider.setAttribute("aria-valuetext", `${slider.value} % before, ${100 - slider.value} % after`);
}

function fail(work, problem) {
  const { card } = work;
  work.failed = true;
  card.querySelector(".waiting").hidden = true;
  card.querySelector(".facts").textContent = "";
  const error = card.querySelector(".error");
  error.textContent = problem.message;
  error.hidden = false;
  card.querySelector(`.${problem.remedy ?? "again"}`).hidden = false;
}

async function shrink(work) {
  try {
    const whole = await createImageBitmap(work.file);
    const scale = Math.min(1, Math.sqrt((0.98 * Math.min(offer.max_pixels, 4e6)) / (whole.width * whole.height)));
    const canvas = Object.assign(document.createElement("canvas"), { width: Math.round(scale * whole.width), height: Math.round(scale * whole.height) });
    canvas.getContext("2d").drawImage(whole, 0, 0, canvas.width, canvas.height);
    work.file = await photograph(canvas, work.file.name.replace(/\.[^.]+$/, ""));
    begin(work);
  } catch {
    fail(work, new Problem("This browser cannot read this file, so it cannot shrink it.", "remove"));
  }
}

const photograph = (canvas, stem) =>
  new Promise((resolve) => canvas.toBlob((blob) => resolve(new File([blob], `${stem}.jpg`, { type: "image/jpeg" })), "image/jpeg", 0.95));

// The camera: in the page where the browser lets it, else the phone's own

async function openCamera() {
  const video = $("viewfinder");
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1920 } } });
  } catch {
    return $("photo").click();
  }
  $("camera").showModal();
}

// A photo can be taken only once the camera has shown a frame.
function awaitFrame({ target: video }) {
  $("shoot").disabled = video.videoWidth === 0;
  if (!$("shoot").disabled) $("shoot").focus();
}

function closeCamera() {
  const video = $("viewfinder");
  video.srcObject?.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
}

async function shoot() {
  const video = $("viewfinder");
  const canvas = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  const time = new Date().toTimeString().slice(0, 8).replaceAll(":", "-");
  const photo = await photograph(canvas, `photo_${time}`);
  $("camera").close();
  add([photo]);
}

$("model").addEventListener("change", showDirections);
$("settings").addEventListener("change", redo);
$("download-all").addEventListener("click", downloadAll);
$("choose").addEventListener("click", () => $("files").click());
for (const input of [$("files"), $("photo")]) input.addEventListener("change", () => { add(input.files); input.value = ""; });
$("open-camera").addEventListener("click", openCamera);
for (const kind of ["loadeddata", "emptied"]) $("viewfinder").addEventListener(kind, awaitFrame);
$("shoot").addEventListener("click", shoot);
$("close-camera").addEventListener("click", () => $("camera").close());
$("camera").addEventListener("close", closeCamera);
$("settings").addEventListener("submit", (event) => event.preventDefault());
addEventListener("paste", (event) => add(event.clipboardData.files));
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") add(event.dataTransfer.files);
  });
}
connect();
