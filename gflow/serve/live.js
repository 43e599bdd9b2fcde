"use strict";
const meta = (name) => document.querySelector("meta[name=" + name + "]").content;
const TOKEN = meta("gflow-token");
const RUN = meta("gflow-run");
const path = (name) => name.split("/").map(encodeURIComponent).join("/");
const note = document.getElementById("note");
const WORDS = {
  training: "training",
  starting: "starting",
  stopping: "stopping after this step",
  stopped: "stopped",
  killed: "killed",
  finished: "finished",
  elsewhere: "held on another machine",
};
let refusal = "";
function make(tag, text, className) {
  const one = document.createElement(tag);
  if (text !== undefined) one.textContent = text;
  if (className) one.className = className;
  return one;
}
function ago(seconds) {
  const past = Math.max(0, Date.now() / 1000 - seconds);
  if (past < 90) return Math.round(past) + " s ago";
  if (past < 5400) return Math.round(past / 60) + " min ago";
  if (past < 129600) return Math.round(past / 3600) + " h ago";
  return new Date(seconds * 1000).toLocaleDateString();
}
async function act(verb, name, body) {
  refusal = "";
  try {
    const answer = await fetch("/api/" + verb + "/" + path(name), {
      method: "POST",
      headers: { "X-Gflow-Token": TOKEN, "Content-Type": "application/json" },
      body: body ? JSON.stringify(body) : undefined,
    });
    if (!answer.ok) refusal = (await answer.json()).error;
  } catch (error) {
    refusal = "gflow serve does not answer.";
  }
  await look();
}
function button(run) {
  const verbs = { training: "stop", stopped: "resume", killed: "resume", finished: "extend" };
  const verb = verbs[run.state];
  if (!verb) return [];
  const one = make("button", verb[0].toUpperCase() + verb.slice(1), "act");
  one.type = "button";
  one.dataset.verb = verb;
  one.setAttribute("aria-label", verb + " " + run.name);
  one.addEventListener("click", () => {
    let body;
    if (verb === "extend") {
      const asked = parseInt(prompt("Steps in all (it has " + run.step + ")", 2 * run.step), 10);
      if (!Number.isInteger(asked)) return;
      body = { steps: asked };
    }
    one.disabled = true;
    act(verb === "stop" ? "stop" : "resume", run.name, body);
  });
  return [one];
}
function stateOf(run) {
  const one = make("span", WORDS[run.state], "state");
  one.dataset.state = run.state;
  return one;
}
function row(run) {
  const line = make("tr");
  const link = make("a", run.name === "." ? run.title : run.name);
  link.href = "/run/" + path(run.name);
  const name = make("td");
  name.append(link, make("small", run.title + ", seed " + run.seed));
  const state = make("td");
  state.append(stateOf(run));
  const step = make("td", run.step + " of " + run.steps);
  const bar = make("progress");
  bar.max = Math.max(run.steps, 1);
  bar.value = run.step;
  bar.setAttribute("aria-label", "steps done");
  step.append(bar);
  const metrics = make("td", undefined, "pairs");
  for (const [key, value] of Object.entries(run.metrics)) {
    const pair = make("span", key + " ");
    pair.append(make("b", typeof value === "number" ? number(value) : value));
    metrics.append(pair);
  }
  const buttons = make("td");
  buttons.append(...button(run));
  line.append(name, state, step, metrics, make("td", ago(run.changed)), buttons);
  return line;
}
let before = "";
function showList(runs) {
  const body = document.querySelector(".runs tbody");
  const told = JSON.stringify(runs);
  if (told === before) {
    runs.forEach((run, k) => (body.rows[k].cells[4].textContent = ago(run.changed)));
    return;
  }
  before = told;
  const focused = document.activeElement?.getAttribute("aria-label");
  body.replaceChildren(...runs.map(row));
  if (!runs.length) body.insertRow().insertCell().textContent = "No run is here yet.";
  if (focused) [...body.querySelectorAll("button")].find((b) => b.getAttribute("aria-label") === focused)?.focus();
}
let has = "";
function showRun(run) {
  const state = document.getElementById("state");
  state.replaceChildren(stateOf(run), ", step " + run.step + " of " + run.steps);
  const shown = run.state + run.step;
  if (shown !== before) document.getElementById("buttons").replaceChildren(...button(run));
  if (run.state === "finished" && before && !before.startsWith("finished")) location.reload();
  before = shown;
  if (!run.parts) return;
  has = run.changed_at;
  document.querySelector("header p").textContent = run.parts.opening;
  for (const id of ["results", "curves"]) {
    if (!run.parts[id]) continue;
    let part = document.getElementById(id);
    if (!part) {
      part = make("section");
      part.id = id;
      document.querySelector("header").after(part);
      if (id === "curves") document.getElementById("results")?.after(part);
    }
    const heading = part.querySelector("h2") || make("h2", id[0].toUpperCase() + id.slice(1));
    const inner = make("div");
    inner.innerHTML = run.parts[id];
    part.replaceChildren(heading, ...inner.childNodes);
    wire(part);
  }
}
async function look() {
  let said = "";
  try {
    const where = RUN ? "/api/run/" + path(RUN) + "?changed=" + encodeURIComponent(has) : "/api/runs";
    const answer = await fetch(where);
    const found = await answer.json();
    if (!answer.ok) said = found.error;
    else if (RUN) {
      showRun(found);
      said = found.error;
    } else {
      showList(found.runs);
      said = found.runs.filter((run) => run.error).map((run) => run.name + ": " + run.error).join("\n");
    }
  } catch (error) {
    said = "gflow serve does not answer: it was ended, or started anew with another token.";
  }
  note.textContent = refusal || said;
}
async function again() {
  if (!document.hidden) await look();
  setTimeout(again, 2000);
}
again();
