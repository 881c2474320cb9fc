// Keeps the list of jobs up to date. All texts are set as text, never as HTML.
"use strict";

const ended = (state) => state !== "QUEUED" && state !== "RUNNING";

function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function describe(job) {
  if (job.error) return job.error;
  const parts = [];
  if (job.phase) parts.push(job.phase);
  if (!ended(job.state)) {
    if (job.epochs) parts.push(`epoch ${job.epoch} of ${job.epochs}`);
    if (job.seconds_left !== null) parts.push(`${duration(job.seconds_left)} left`);
  }
  return parts.join(", ");
}

function makeRow(job) {
  const row = document.createElement("tr");
  row.dataset.job = job.id;
  const head = row.appendChild(document.createElement("th"));
  head.scope = "row";
  const link = head.appendChild(document.createElement("a"));
  link.href = `/jobs/${encodeURIComponent(job.id)}`;
  link.textContent = job.title;
  const badge = row.appendChild(document.createElement("td")).appendChild(document.createElement("span"));
  badge.dataset.field = "state";
  const cell = row.appendChild(document.createElement("td"));
  const bar = cell.appendChild(document.createElement("progress"));
  bar.dataset.field = "bar";
  bar.setAttribute("aria-label", `Progress of ${job.title}`);
  cell.appendChild(document.createElement("small")).dataset.field = "text";
  row.appendChild(document.createElement("td")).dataset.field = "time";
  const time = row.appendChild(document.createElement("td")).appendChild(document.createElement("time"));
  const created = new Date(job.created);
  time.dateTime = job.created;
  const two = (number) => String(number).padStart(2, "0");
  time.textContent =
    `${created.getFullYear()}-${two(created.getMonth() + 1)}-${two(created.getDate())} ` +
    `${two(created.getHours())}:${two(created.getMinutes())}`;
  return row;
}

function fill(row, job) {
  const field = (name) => row.querySelector(`[data-field="${name}"]`);
  field("state").textContent = job.state.toLowerCase();
  field("state").className = `badge ${job.state.toLowerCase()}`;
  const bar = field("bar");
  bar.hidden = job.state === "QUEUED";
  bar.max = job.total || 1;
  bar.value = job.state === "COMPLETE" ? bar.max : job.done;
  field("text").textContent = describe(job);
  if (job.started) {
    const until = job.finished ? Date.parse(job.finished) : Date.now();
    field("time").textContent = duration(Math.max(0, until - Date.parse(job.started)) / 1000);
  }
}

async function refresh() {
  const list = document.getElementById("jobs");
  const body = list.querySelector("tbody");
  try {
    const response = await fetch(`/api/v1/jobs?limit=${list.dataset.limit}&skip=${list.dataset.skip}`);
    if (!response.ok) throw new Error(response.status);
    const jobs = await response.json();
    const known = new Map([...body.rows].map((row) => [row.dataset.job, row]));
    jobs.forEach((job, index) => {
      const row = known.get(job.id) || makeRow(job);
      known.delete(job.id);
      fill(row, job);
      if (body.rows[index] !== row) body.insertBefore(row, body.rows[index] || null);
    });
    known.forEach((row) => row.remove());
    const none = jobs.length === 0 && list.dataset.skip === "0";
    list.hidden = none;
    document.getElementById("empty").hidden = !none;
    document.getElementById("lost").hidden = true;
  } catch {
    document.getElementById("lost").hidden = false;
  }
  setTimeout(refresh, document.hidden ? 10000 : 1500);
}

refresh();
