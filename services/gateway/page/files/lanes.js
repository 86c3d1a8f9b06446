/* Each provider's lane: how it does, what waits, who holds it and why, and its one button. */

import { ask } from "./asking.js";
import { act } from "./api.js";
import { $, fill, h, mark, put, toast } from "./dom.js";
import { NONE, age, count, share, took } from "./format.js";
import { why } from "./verdict.js";

const COLUMNS = ["Lane", "Succeeded", "Half / 95 %", "Waiting", "In flight", "Parked", "Oldest", ""];
const rows = new Map();

export function showLanes({ flow }) {
  mark($("lanes"), "data-away", flow === null ? true : null);
  if (flow === null) return;
  if (!rows.size || flow.lanes.some((lane) => !rows.has(lane.provider))) begin(flow.lanes);
  for (const lane of flow.lanes) rows.get(lane.provider).show(lane);
}

function begin(lanes) {
  rows.clear();
  for (const lane of lanes) rows.set(lane.provider, new Row(lane.provider));
  const head = h("tr", {}, COLUMNS.map((name) => h("th", { scope: "col" }, name || h("span", { class: "unseen" }, "Do"))));
  fill($("lanes-body"), h("table", { class: "lanes" }, h("thead", {}, head), [...rows.values()].map(({ body }) => body)));
}

class Row {
  constructor(provider) {
    this.state = h("span", { class: "chip" }, h("i"), (this.word = h("b")));
    this.meter = h("meter", { min: 0, max: 1, low: 0.8, high: 0.95, optimum: 1, "aria-label": `Share of ${provider} that succeeded` });
    this.share = h("b");
    this.ended = h("span", { class: "soft small" });
    this.cells = COLUMNS.slice(2, 7).map((name) => h("td", { class: "number", "data-name": name }));
    this.button = h("button", { type: "button", onclick: () => this.ask() });
    this.reason = h("td", { colspan: COLUMNS.length });
    this.more = h("tr", { class: "why", hidden: true }, this.reason);
    this.body = h("tbody", { "data-lane": provider },
      h("tr", {}, h("th", { scope: "row" }, h("span", { class: "lane" }, provider), this.state),
        h("td", {}, h("div", { class: "shares" }, this.share, this.meter, this.ended)),
        this.cells, h("td", { class: "do" }, this.button)),
      this.more);
  }

  show(lane) {
    this.lane = lane;
    const [tone, word] = stands(lane);
    mark(this.state, "data-tone", tone);
    put(this.word, word);
    put(this.share, share(lane.success_share));
    this.meter.value = lane.success_share ?? 0;
    mark(this.meter, "data-none", lane.success_share === null ? true : null);
    put(this.ended, lane.ended ? `of ${count(lane.ended)}` : "none ended");
    const times = lane.took ? `${took(lane.took.p50_ms)} / ${took(lane.took.p95_ms)}` : NONE;
    const oldest = lane.waiting ? age(lane.oldest_waiting_seconds) : NONE;
    [times, count(lane.waiting), count(lane.active), count(lane.delayed), oldest].forEach((text, place) => put(this.cells[place], text));
    put(this.button, lane.state === "held" ? "Release" : "Hold");
    mark(this.button, "aria-label", `${lane.state === "held" ? "Release" : "Hold"} ${lane.provider}`);
    mark(this.body, "data-state", lane.state);
    const told = lane.state === "open" ? (lane.served ? "" : "Not set up here, or no dispatcher runs: nothing on it can be sold.") : why(lane);
    this.more.hidden = !told;
    put(this.reason, told);
  }

  ask() {
    if (this.lane.state === "held") release(this.lane);
    else hold(this.lane.provider);
  }
}

function stands(lane) {
  if (lane.state === "held") return ["warn", "held"];
  if (lane.state === "probing") return ["waiting", "probing"];
  return lane.served ? ["good", "open"] : ["quiet", "not served"];
}

function hold(provider) {
  ask({
    title: `Hold ${provider}`,
    about: "Nothing of it starts from now on; what is under way comes to its end. Topups wait on the lane, and those whose time is over expire unpaid.",
    fields: [
      { name: "reason", label: "Why", required: true, maxlength: 300, placeholder: "their maintenance, ticket 4711", note: "Whoever comes next reads it." },
      { name: "until", label: "For", choices: [["30m", "30 minutes"], ["1h", "1 hour"], ["4h", "4 hours"], ["", "until it is released"]], note: "Then one topup tries it." },
      { name: "replace", label: "Also where another operator holds it already", kind: "checkbox" },
    ],
    word: `Hold ${provider}`,
    tone: "warn",
    do: async ({ reason, until, replace }) => {
      const told = await act(`lanes/${provider}/hold`, { reason, replace, ...(until ? { until } : {}) });
      toast(told.changed ? `${provider} is held.` : `${provider} was held so already.`, "warn");
    },
  });
}

function release(lane) {
  ask({
    title: `Release ${lane.provider}`,
    about: why(lane),
    fields: [{ name: "reason", label: "Why", maxlength: 300, placeholder: "it is over" }],
    word: `Release ${lane.provider}`,
    tone: "good",
    do: async ({ reason }) => {
      const told = await act(`lanes/${lane.provider}/release`, { held_since: lane.since, ...(reason ? { reason } : {}) });
      toast(told.changed ? `${lane.provider} is open.` : `${lane.provider} was open already.`);
    },
  });
}
