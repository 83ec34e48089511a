// One trial after another: both images are loaded first, shown together for the exposure, then hidden.
const $ = (id) => document.getElementById(id);
const FIXATION = 0.4; // of the exposure: a cross to look at before the images
let study, asking, shown;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const frame = () => new Promise(requestAnimationFrame);
const show = (name) => ["start", "trial", "end"].forEach((id) => { $(id).hidden = id !== name; });

async function post(path, body) {
  for (let attempt = 0; ; attempt++) {
    let refused;
    try {
      const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
      $("problem").hidden = answer.ok;
      if (answer.ok) return await answer.json();
      if (answer.status < 500) refused = (await answer.json()).detail;
    } catch { /* no connection: below */ }
    if (refused) return stop(refused);
    $("problem").hidden = false;
    $("problem").textContent = "The server cannot be reached; trying again. Nothing is lost.";
    await pause(Math.min(5000, 250 * 2 ** attempt));
  }
}

function stop(text) {
  show("");
  $("problem").hidden = false;
  $("problem").textContent = `${text}.`;
  return new Promise(() => {}); // never settles: what waits for it goes no further
}

async function open() {
  const code = new URLSearchParams(location.search).get("code") ?? localStorage.getItem("code");
  study = await post("session", code ? { code } : {});
  localStorage.setItem("code", study.code);
  $("code").textContent = study.code;
  if (!study.next) return finish();
  const seconds = study.exposure_ms / 1000;
  $("exposure").textContent = seconds === 1 ? "one second" : `${seconds} seconds`;
  const practice = study.practice ? `The first ${study.practice} are practice: you are told whether you were right. Then come ` : "There are ";
  $("plan").textContent = study.done ? `You have answered ${study.done} of ${study.trials}.` : `${practice}${study.trials - study.practice} more.`;
  $("begin").textContent = study.done ? "Go on" : "Begin";
  $("begin").disabled = false;
  $("begin").focus();
}

async function trial() {
  show("trial");
  $("trial").classList.remove("asking");
  $("feedback").textContent = "";
  $("next").hidden = true;
  enable(false);
  const { done, trials, next } = study;
  $("count").textContent = next.practice ? `Practice ${done + 1} of ${study.practice}` : `${done + 1 - study.practice} of ${trials - study.practice}`;
  $("progress").max = trials;
  $("progress").value = done;
  await Promise.all([load("left-image", next.left), load("right-image", next.right), pause(FIXATION * study.exposure_ms)]);
  await expose();
}

async function load(id, name) {
  $(id).src = `images/${name}.png`;
  await $(id).decode();
  $("pair").style.setProperty("--shape", `${$(id).naturalWidth} / ${$(id).naturalHeight}`);
}

async function expose() {
  await frame();
  $("pair").classList.add("shown");
  const begun = await frame();
  asking = performance.now();
  enable(true);
  await pause(study.exposure_ms);
  $("pair").classList.remove("shown");
  shown = (await frame()) - begun;
  $("trial").classList.add("asking");
}

function enable(yes) {
  for (const id of ["left", "right"]) $(id).disabled = !yes;
  if (!yes) asking = undefined;
}

async function choose(choice) {
  if (asking === undefined) return;
  const answered_ms = performance.now() - asking;
  enable(false);
  while (shown === undefined) await frame(); // the exposure is the same for all, however quick the answer
  const answer = await post("answer", { code: study.code, trial: study.done, choice, shown_ms: shown, answered_ms });
  shown = undefined;
  Object.assign(study, answer);
  if (!answer.real) return study.next ? trial() : finish();
  const right = answer.real === choice;
  $("feedback").className = right ? "right" : "wrong";
  $("feedback").textContent = right ? "Right." : `No: the ${answer.real} one was real.`;
  $("next").hidden = false;
  $("next").focus();
}

function finish() {
  show("end");
  $("end").querySelector("h1").focus();
}

$("begin").addEventListener("click", trial);
$("next").addEventListener("click", () => (study.next ? trial() : finish()));
for (const id of ["left", "right"]) {
  $(id).addEventListener("click", () => choose(id));
  $(`${id}-image`).parentElement.addEventListener("click", () => choose(id));
}
addEventListener("keydown", (event) => {
  const side = { ArrowLeft: "left", ArrowRight: "right" }[event.key];
  if (!side || event.repeat) return;
  event.preventDefault();
  choose(side);
});
open();
