/* The two charts: five minutes that move on by a second each second, in the page's own colours. */

import { $, mark } from "./dom.js";
import { rate, took } from "./format.js";

const SPAN_MS = 300_000;
const SPAN_MS_MIN = 60_000;
const FLOW = [["succeeded", "--good"], ["failed", "--bad"], ["unresolved", "--limbo"]];
const TOOK = [["95 %", "--accent", (point) => point.took?.p95_ms], ["half", "--good", (point) => point.took?.p50_ms]];

/** The colour as it is now, light or dark: a canvas knows no custom properties. */
function colour(name, share = 1) {
  const probe = $("live");
  probe.style.setProperty("outline-color", `color-mix(in srgb, var(${name}) ${share * 100}%, transparent)`);
  const found = getComputedStyle(probe).outlineColor;
  probe.style.removeProperty("outline-color");
  return found;
}

const axis = () => ({
  grid: { color: colour("--line"), tickLength: 0 },
  border: { display: false },
  ticks: { color: colour("--soft"), padding: 8, font: { size: 11 }, maxTicksLimit: 5 },
});

function options(ticks, tip, stacked, least) {
  return {
    animation: false,
    parsing: false,
    normalized: true,
    responsive: true,
    maintainAspectRatio: false,
    interaction: { mode: "index", intersect: false },
    scales: {
      x: {
        ...axis(),
        type: "time",
        time: { minUnit: "second", displayFormats: { second: "HH:mm:ss", minute: "HH:mm" }, tooltipFormat: "HH:mm:ss" },
        ticks: { ...axis().ticks, maxRotation: 0, autoSkipPadding: 24 },
      },
      y: { ...axis(), stacked, beginAtZero: true, suggestedMax: least, ticks: { ...axis().ticks, callback: ticks } },
    },
    plugins: {
      legend: {
        align: "end",
        labels: { color: colour("--soft"), boxWidth: 8, boxHeight: 8, usePointStyle: true, pointStyle: "circle", font: { size: 12 } },
      },
      tooltip: {
        backgroundColor: colour("--ink"), titleColor: colour("--card"), bodyColor: colour("--card"),
        padding: 10, cornerRadius: 8, usePointStyle: true, boxPadding: 4,
        callbacks: { label: ({ dataset, parsed }) => `${dataset.label} ${tip(parsed.y)}` },
      },
    },
  };
}

const line = (label, name, fill) => ({
  label,
  data: [],
  borderColor: colour(name),
  backgroundColor: colour(name, fill ? 0.18 : 1),
  borderWidth: 1.75,
  pointRadius: 0,
  pointBackgroundColor: colour(name),
  pointBorderColor: colour(name),
  pointHitRadius: 8,
  fill,
  spanGaps: 2500,
  tension: 0.25,
});

export class Charts {
  #points = [];
  #flow = null;
  #took = null;

  constructor() {
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#make());
  }

  begin(points) {
    const known = new Set(this.#points.map((point) => point.x));
    const fresh = points.map(point_).filter((point) => !known.has(point.x));
    this.#points = [...this.#points, ...fresh].sort((one, other) => one.x - other.x);
    this.#make();
  }

  add(frame) {
    const point = point_({ at: frame.at, rates: frame.flow?.rates, took: frame.flow?.took });
    if (!this.#points.some(({ x }) => x === point.x)) this.#points.push(point);
    this.#points = this.#points.filter(({ x }) => x > point.x - SPAN_MS - 5000);
    this.#draw();
    if (point.rates) mark($("chart-flow"), "aria-label", `${rate(point.rates.succeeded)} topups a second succeed, ${rate(point.rates.failed)} fail`);
    if (point.took) mark($("chart-took"), "aria-label", `Half end within ${took(point.took.p50_ms)}, 95 % within ${took(point.took.p95_ms)}`);
  }

  #make() {
    this.#flow?.destroy();
    this.#took?.destroy();
    const { Chart } = globalThis;
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    this.#flow = new Chart($("chart-flow"), {
      type: "line",
      data: { datasets: FLOW.map(([label, name], place) => line(label, name, place ? "-1" : "origin")) },
      options: options((value) => rate(value), (value) => `${rate(value)} /s`, true, 1),
    });
    this.#took = new Chart($("chart-took"), {
      type: "line",
      data: { datasets: TOOK.map(([label, name]) => line(label, name, false)) },
      options: options((value) => took(Math.round(value)), (value) => took(Math.round(value)), false, 100),
    });
    this.#draw();
  }

  #draw() {
    if (this.#flow === null) return;
    const newest = this.#points.at(-1)?.x ?? Date.now();
    const span = Math.min(Math.max(newest - (this.#points[0]?.x ?? newest), SPAN_MS_MIN), SPAN_MS);
    for (const chart of [this.#flow, this.#took]) {
      chart.options.scales.x.min = newest - span;
      chart.options.scales.x.max = newest;
    }
    FLOW.forEach(([label], place) => {
      this.#flow.data.datasets[place].data = this.#points.map(({ x, rates }) => ({ x, y: rates ? rates[label] : NaN }));
    });
    TOOK.forEach(([, , value], place) => {
      this.#took.data.datasets[place].data = this.#points.map((point) => ({ x: point.x, y: value(point) ?? NaN }));
    });
    this.#flow.update("none");
    this.#took.update("none");
  }
}

const point_ = ({ at, rates, took: times }) => ({ x: new Date(at).getTime(), rates, took: times });
