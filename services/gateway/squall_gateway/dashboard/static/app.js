// What pages do by themselves: look again when something changed, follow logs, ask before what can't
// be undone. Without it every page and every form still works.
"use strict";

const said = (name) => document.querySelector(`meta[name="${name}"]`)?.content ?? "";
const key = said("form-key");
const place = said("place");
const live = document.getElementById("live");

// --- making a page like another ------------------------------------------------------------------

function sync(now, next) {
  for (const { name } of [...now.attributes]) {
    if (!next.hasAttribute(name) && name !== "open") now.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
}

// Nodes are kept where they can be, so that focus, choices and what was unfolded stay; rows are
// known by their data-key, wherever they move.
function morph(now, next) {
  if (now.nodeType !== Node.ELEMENT_NODE) {
    if (now.data !== next.data) now.data = next.data;
    return;
  }
  sync(now, next);
  if (now.hasAttribute("data-still")) return;
  const keyed = new Map();
  const loose = [];
  for (const child of [...now.childNodes]) {
    if (child.dataset?.key) keyed.set(child.dataset.key, child);
    else loose.push(child);
  }
  let at = now.firstChild;
  for (const wanted of [...next.childNodes]) {
    let found = null;
    if (wanted.dataset?.key) {
      found = keyed.get(wanted.dataset.key) ?? null;
      keyed.delete(wanted.dataset.key);
    } else {
      const index = loose.findIndex((child) => child.nodeName === wanted.nodeName);
      if (index >= 0) [found] = loose.splice(index, 1);
    }
    if (found) morph(found, wanted);
    else found = document.importNode(wanted, true);
    if (found === at) at = at.nextSibling;
    else now.insertBefore(found, at);
  }
  for (const left of [...keyed.values(), ...loose]) left.remove();
}

// --- looking again --------------------------------------------------------------------------------

let looking = false;
let again = false;

async function look() {
  if (looking || document.hidden) {
    again = true;
    return;
  }
  looking = true;
  again = false;
  try {
    const answer = await fetch(location.href, { headers: { "Squall-Form-Key": key } });
    if (answer.redirected) {
      location.reload();
      return;
    }
    if (!answer.ok) return;
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    const held = document.activeElement;
    for (const selector of ["main", "nav.sections"]) {
      const now = document.querySelector(selector);
      const then = next.querySelector(selector);
      if (now && then) {
        then.querySelector(".done")?.remove();
        morph(now, then);
      }
    }
    if (held && held !== document.activeElement && held.isConnected) held.focus();
  } finally {
    looking = false;
    if (again) setTimeout(look, 1000);
  }
}

function tell(text, away) {
  if (live.textContent !== text) live.textContent = text;
  live.classList.toggle("away", away);
}

// Browsers come again by themselves when a connection breaks, but not when they were turned away.
function listen(path, events) {
  const source = new EventSource(`${place}-/${path}`);
  source.onopen = () => tell("live", false);
  source.onerror = () => {
    tell("reconnecting", true);
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(path, events), 5000);
  };
  for (const [name, heard] of Object.entries(events)) source.addEventListener(name, heard);
}

document.addEventListener("visibilitychange", () => again && look());

// --- logs -----------------------------------------------------------------------------------------

const LINES = 2000;
const log = document.getElementById("log");

function row(line) {
  const at = new Date(line.at * 1000).toISOString();
  const made = document.createElement("li");
  made.className = ["stdout", "stderr", "system"].includes(line.source) ? line.source : "stdout";
  const time = document.createElement("time");
  time.dateTime = at;
  time.textContent = at.slice(11, 23);
  const from = document.createElement("a");
  from.href = `${place}containers/${encodeURIComponent(line.container)}`;
  from.title = line.container;
  from.textContent = line.function;
  const text = document.createElement("span");
  text.textContent = line.text;
  made.append(time, " ", from, " ", text);
  return made;
}

function follow() {
  const pause = document.getElementById("pause");
  const told = document.getElementById("log-told");
  const list = log.querySelector("ol");
  let held = [];
  let paused = false;

  function show(lines) {
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    list.append(...lines.map(row));
    while (list.childElementCount > LINES) list.firstElementChild.remove();
    if (isAtEnd) log.scrollTop = log.scrollHeight;
    told.textContent = `${list.childElementCount} lines`;
  }

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    if (paused) return;
    show(held);
    held = [];
    pause.textContent = "Pause";
  });
  const query = new URLSearchParams(location.search);
  query.set("after", log.dataset.after);
  query.set("key", key);
  listen(`logs?${query}`, {
    lines: (event) => {
      const lines = JSON.parse(event.data);
      if (!paused) {
        show(lines);
        return;
      }
      held = held.concat(lines).slice(-LINES);
      pause.textContent = `Go on (${held.length} new)`;
    },
  });
  log.scrollTop = log.scrollHeight;
}

if (log) follow();
else listen(`live?key=${key}`, { changed: look });

// --- forms ----------------------------------------------------------------------------------------

document.querySelector("[data-environments] select")?.addEventListener("change", (event) => {
  location.assign(event.target.value);
});

document.addEventListener("change", (event) => {
  const form = event.target.dataset?.every;
  if (!form) return;
  for (const box of document.querySelectorAll(`#${form} input[name="id"]`)) box.checked = event.target.checked;
});

document.addEventListener("submit", (event) => {
  const pressed = event.submitter;
  const what = pressed?.dataset.sure ?? event.target.dataset.sure;
  if (!what || event.target.dataset.agreed) return;
  event.preventDefault();
  const dialog = document.getElementById("sure");
  document.getElementById("sure-what").textContent = what;
  dialog.returnValue = "no";
  dialog.addEventListener("close", () => {
    if (dialog.returnValue !== "yes") return;
    event.target.dataset.agreed = "yes";
    event.target.requestSubmit(pressed);
  }, { once: true });
  dialog.showModal();
});

document.querySelector(".sections [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// --- how long ago -----------------------------------------------------------------------------------

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

setInterval(() => {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const distance = Number(time.dataset.ago) - Date.now() / 1000;
    const unit = UNITS.find(([, size]) => Math.abs(distance) >= size);
    if (!unit) continue;
    const length = `${Math.floor(Math.abs(distance) / unit[1])} ${unit[0]}`;
    const text = distance > 0 ? `in ${length}` : `${length} ago`;
    if (time.textContent !== text) time.textContent = text;
  }
}, 5000);
