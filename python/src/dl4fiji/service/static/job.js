// Follows one job: progress, loss curves, log. All texts are set as text, never as HTML.
"use strict";

const article = document.getElementById("job");
const id = article.dataset.job;
const api = `/api/v1/jobs/${encodeURIComponent(id)}`;
const element = (name) => document.getElementById(name);
const ended = (state) => state !== "QUEUED" && state !== "RUNNING";
const rows = new Map(); // epoch -> row of the history
let logarithmic = false;
let pointed = null; // the epoch that the mouse or the arrow keys point at
let logEnd = 0;

function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function figure(value) {
  if (value === null || value === undefined) return "–";
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
}

// ------------------------------------------------------------------ progress

function showState(data) {
  const badge = article.querySelector('[data-field="state"]');
  badge.textContent = data.state.toLowerCase();
  badge.className = `badge ${data.state.toLowerCase()}`;
  element("error").hidden = true; // that of the try before
  if (data.device) element("device").textContent = data.device;
  if (data.state === "RUNNING") element("elapsed").dataset.started = Date.now() / 1000;
}

function showProgress(data) {
  element("bar").max = data.total || 1;
  element("bar").value = data.done;
  if (data.epochs) element("epoch").textContent = `${data.epoch} / ${data.epochs}`;
  if (data.loss !== undefined) element("loss").textContent = figure(data.loss);
  if (data.seconds_left !== undefined && data.seconds_left !== null) {
    element("left").textContent = duration(data.seconds_left);
  }
}

function showElapsed() {
  const { started, finished } = element("elapsed").dataset;
  if (started) {
    element("elapsed").textContent = duration(Math.max(0, (finished || Date.now() / 1000) - started));
  }
}

// ------------------------------------------------------------------ curves

function svg(name, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function niceTicks(low, high, count) {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw);
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-9; tick += step) ticks.push(tick);
  return ticks;
}

function logTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const factor of [1, 2, 5]) ticks.push(factor * 10 ** power);
  }
  return ticks.filter((tick) => tick >= low && tick <= high);
}

function drawCurves() {
  const chart = element("chart");
  const history = [...rows.values()].sort((a, b) => a.epoch - b.epoch);
  element("curves").hidden = history.length === 0;
  if (!history.length) return;
  const width = chart.clientWidth || 800;
  const height = 300;
  const [left, right, top, bottom] = [62, 12, 10, 34];
  const usable = (value) => Number.isFinite(value) && (!logarithmic || value > 0);
  const values = history.flatMap((row) => [row.loss, row.val_loss]).filter(usable);
  let low = Math.min(...values);
  let high = Math.max(...values);
  const margin = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  low = logarithmic ? low / 1.1 : low - margin;
  high = logarithmic ? high * 1.1 : high + margin;
  const first = history[0].epoch;
  const last = Math.max(history[history.length - 1].epoch, first + 1);
  const x = (epoch) => left + ((epoch - first) / (last - first)) * (width - left - right);
  const level = (value) => (logarithmic ? Math.log(value) : value);
  const y = (value) => height - bottom - ((level(value) - level(low)) / (level(high) - level(low))) * (height - top - bottom);
  chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const drawn = [];
  for (const tick of logarithmic ? logTicks(low, high) : niceTicks(low, high, 5)) {
    drawn.push(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }));
    drawn.push(svg("text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, String(Number(tick.toPrecision(3)))));
  }
  for (const tick of niceTicks(first, last, 8).filter(Number.isInteger)) {
    drawn.push(svg("text", { x: x(tick), y: height - bottom + 18, "text-anchor": "middle" }, String(tick)));
  }
  drawn.push(svg("text", { x: (left + width - right) / 2, y: height - 1, "text-anchor": "middle" }, "Epoch"));
  for (const [column, name] of [["loss", "train"], ["val_loss", "validation"]]) {
    const points = history.filter((row) => usable(row[column]));
    const path = points.map((row) => `${x(row.epoch).toFixed(1)},${y(row[column]).toFixed(1)}`).join(" ");
    drawn.push(svg("polyline", { class: `line ${name}`, points: path }));
    if (points.length === 1) drawn.push(svg("circle", { class: name, cx: x(points[0].epoch), cy: y(points[0][column]), r: 3.5 }));
  }
  const row = pointed === null ? history[history.length - 1] : nearest(history, pointed);
  if (pointed !== null) {
    drawn.push(svg("line", { class: "cross", x1: x(row.epoch), x2: x(row.epoch), y1: top, y2: height - bottom }));
    for (const [column, name] of [["loss", "train"], ["val_loss", "validation"]]) {
      if (usable(row[column])) drawn.push(svg("circle", { class: name, cx: x(row.epoch), cy: y(row[column]), r: 4 }));
    }
  }
  element("readout").textContent = `epoch ${row.epoch}: training ${figure(row.loss)}, validation ${figure(row.val_loss)}`;
  chart.replaceChildren(...drawn);
  chart.dataset.epochs = history.length;
  chart.onpointermove = (event) => {
    const box = chart.getBoundingClientRect();
    const share = (((event.clientX - box.left) / box.width) * width - left) / (width - left - right);
    point(first + share * (last - first));
  };
}

function nearest(history, epoch) {
  return history.reduce((best, row) => (Math.abs(row.epoch - epoch) < Math.abs(best.epoch - epoch) ? row : best));
}

let drawing = false;
function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    drawCurves();
  });
}

function point(epoch) {
  pointed = epoch;
  draw();
}

async function loadHistory() {
  const response = await fetch(`${api}/history?points=2000`);
  if (!response.ok) return;
  const columns = await response.json();
  columns.epoch.forEach((epoch, index) => {
    rows.set(epoch, Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, column[index]])));
  });
  draw();
}

// ------------------------------------------------------------------ log

async function loadLog() {
  const response = await fetch(`${api}/log?after=${logEnd}`);
  if (!response.ok) return;
  const text = await response.text();
  const next = Number(response.headers.get("X-Next"));
  const log = element("log");
  if (text && next > logEnd) {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.append(text);
    if (atEnd) log.scrollTop = log.scrollHeight;
    logEnd = next;
  }
}

// ------------------------------------------------------------------ events

function follow() {
  const source = new EventSource(`${api}/events?after=${article.dataset.after}`);
  source.onmessage = (message) => {
    const { id: number, type, data } = JSON.parse(message.data);
    article.dataset.after = number;
    if (type === "progress") showProgress(data);
    if (type === "phase") element("phase").textContent = data.text;
    if (type === "epoch") {
      rows.set(data.epoch, data);
      element("val_loss").textContent = figure(data.val_loss);
      draw();
    }
    if (type === "warning") {
      const list = element("warnings");
      if (![...list.children].some((item) => item.textContent === data.text)) {
        list.appendChild(document.createElement("li")).textContent = data.text;
      }
      list.hidden = false;
    }
    if (type === "state") {
      if (ended(data.state)) {
        source.close();
        location.reload(); // the whole page anew; a button shown before that would lose its press
      } else showState(data);
    }
  };
  const ticking = setInterval(() => {
    showElapsed();
    if (!document.hidden) loadLog();
    if (source.readyState === EventSource.CLOSED) clearInterval(ticking);
  }, 1000);
}

element("scale").addEventListener("click", (event) => {
  logarithmic = !logarithmic;
  event.currentTarget.setAttribute("aria-pressed", String(logarithmic));
  draw();
});
element("chart").addEventListener("pointerleave", () => point(null));
element("chart").addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const epochs = [...rows.keys()];
  const from = pointed === null ? Math.max(...epochs) : Math.round(pointed);
  point(Math.min(Math.max(...epochs), Math.max(Math.min(...epochs), from + step)));
});
window.addEventListener("resize", draw);

loadHistory();
loadLog();
if (!ended(article.dataset.state)) follow();
