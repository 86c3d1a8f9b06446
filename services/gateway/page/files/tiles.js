/* The figures of the head line; a tile's number changes in its place and never moves its neighbours. */

import { $, fill, h, mark, put } from "./dom.js";
import { NONE, brief, count, money, rate, share, took } from "./format.js";

const TILES = ["Accepted", "Succeeded", "95 % end within", "Waiting", "In limbo", "Sold today"];
const shown = new Map();

function tile(name) {
  if (!shown.size) {
    for (const each of TILES) {
      const number = h("b", {}, NONE);
      const unit = h("span", { class: "unit" });
      const more = h("span", { class: "soft small more" }, "\u00a0");
      const box = h("div", { class: "tile card" }, h("dt", {}, each), h("dd", {}, number, unit, more));
      shown.set(each, { box, number, unit, more });
    }
    fill($("tiles"), [...shown.values()].map(({ box }) => box));
  }
  return shown.get(name);
}

function set(name, number, unit, more, tone) {
  const parts = tile(name);
  put(parts.number, number);
  put(parts.unit, unit);
  put(parts.more, more || "\u00a0");
  mark(parts.box, "data-tone", tone);
}

export function showTiles({ flow, sold }) {
  tile(TILES[0]);
  mark($("tiles"), "data-flow", flow === null ? "away" : null);
  mark($("tiles"), "data-sold", sold === null ? "away" : null);
  if (flow !== null) showFlow(flow);
  if (sold !== null) showSold(sold);
}

function showFlow({ counts, lanes, rates, took: times }) {
  const ended = lanes.reduce((sum, lane) => sum + (lane.ended ?? 0), 0);
  const paid = lanes.reduce((sum, lane) => sum + (lane.ended ?? 0) * (lane.success_share ?? 0), 0);
  const part = ended ? Math.min(paid / ended, 1) : null;
  set("Accepted", rates ? rate(rates.accepted) : NONE, "/s", "over the last 5 s");
  set("Succeeded", share(part), "", ended ? `of ${count(ended)} in a minute` : "none in a minute", part !== null && part < 0.9 && ended >= 20 ? "warn" : null);
  const [number, unit] = times ? took(times.p95_ms).split(/ (?=\D+$)/) : [NONE, ""];
  set("95 % end within", number, unit ?? "", times ? `half within ${took(times.p50_ms)}` : "none in a minute");
  const oldest = Math.max(0, ...lanes.map((lane) => lane.oldest_waiting_seconds));
  set("Waiting", count(counts.waiting), "", `${count(counts.active)} in flight · ${count(counts.delayed)} parked`, oldest >= 60 ? "warn" : null);
}

function showSold({ today, unresolved }) {
  const [first, ...others] = Object.entries(unresolved.volume).sort();
  const more = unresolved.transactions ? `${count(unresolved.transactions)} unresolved${others.length ? ` · ${money(Object.fromEntries(others))}` : ""}` : "every end is known";
  set("In limbo", first ? brief(first[1]) : "0", first ? first[0] : "", more, unresolved.transactions ? "limbo" : null);
  const [sale, ...rest] = Object.entries(today.volume).sort();
  set("Sold today", sale ? brief(sale[1]) : "0", sale ? sale[0] : "", `${count(today.transactions)} topups${rest.length ? ` · ${money(Object.fromEntries(rest))}` : ""}`);
}
