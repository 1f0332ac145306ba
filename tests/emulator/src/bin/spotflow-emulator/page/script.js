// Puts what is new in its place. Without it the page works, too, but stands still.
"use strict";

const ROWS_MAX = 200;
const notice = document.getElementById("notice");
const pause = document.getElementById("pause");
let paused = false;

/** New content for an element; who is in it with the keyboard stays there. */
function replace(id, html) {
  const element = document.getElementById(id);
  if (!element || element.dataset.html === html) return;
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  // What somebody is typing is not taken away.
  if (focused && focused.matches("input, textarea") && focused.value) return;
  // Nor what somebody is choosing from.
  if (focused === element) return;
  element.dataset.html = html;
  element.innerHTML = html;
  if (focused && focused.id) document.getElementById(focused.id)?.focus();
}

function addRows(html) {
  const rows = document.getElementById("messages");
  if (!rows || paused || !html) return;
  rows.insertAdjacentHTML("afterbegin", html);
  while (rows.rows.length > ROWS_MAX) rows.deleteRow(-1);
}

const events = new EventSource(document.body.dataset.events);
events.addEventListener("messages", (event) => addRows(event.data));
events.addEventListener("section", (event) => {
  const end = event.data.indexOf(" ");
  replace(event.data.slice(0, end), event.data.slice(end + 1));
});
events.addEventListener("open", () => {
  if (notice.dataset.lost) {
    delete notice.dataset.lost;
    notice.textContent = "";
  }
});
events.addEventListener("error", () => {
  notice.dataset.lost = "yes";
  notice.textContent = "The emulator is out of reach.";
});
addEventListener("pagehide", () => events.close());

if (pause) {
  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
  });
}

// Orders are given without leaving the page.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if ("plain" in form.dataset) return;
  event.preventDefault();
  notice.textContent = "...";
  const body = new URLSearchParams(new FormData(form, event.submitter));
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "text/plain" } });
    notice.textContent = await answer.text();
  } catch {
    notice.textContent = "The emulator is out of reach.";
  }
});
