/* The newest ends, as they go by; each leads to its story. */

import { $, fill, h, mark, nothing } from "./dom.js";
import { amount, moment, took } from "./format.js";
import { reason } from "./words.js";

let shown = null;

export function showRecent({ flow }) {
  mark($("recent"), "data-away", flow === null ? true : null);
  if (flow === null) return;
  const names = flow.recent.map(({ topup_id, status }) => topup_id + status).join();
  if (names === shown) return;
  shown = names;
  if (!flow.recent.length) {
    fill($("recent-body"), nothing("Nothing went by yet", "Each topup is shown here as it ends."));
    return;
  }
  const kept = document.activeElement?.closest("#recent-body a")?.getAttribute("href");
  fill($("recent-body"), h("ul", { class: "recent" }, flow.recent.map(row)));
  if (kept) $("recent-body").querySelector(`a[href="${CSS.escape(kept)}"]`)?.focus({ preventScroll: true });
}

const row = (one) =>
  h("li", {}, h("a", { href: `#topup/${one.topup_id}`, "data-tone": TONES[one.status] },
    h("i", { title: one.status }), h("span", { class: "soft number" }, moment(one.at)),
    h("span", { class: "number sum" }, `${amount(one.amount)} ${one.currency}`), h("span", { class: "number" }, one.phone),
    h("span", { class: "soft what" }, one.status === "succeeded" ? one.provider : `${one.provider} · ${one.status}${one.reason ? `, ${reason(one.reason)}` : ""}`),
    h("span", { class: "soft number end" }, one.took_ms === null ? "by people" : took(one.took_ms))));

export const TONES = { succeeded: "good", failed: "bad", unresolved: "limbo", queued: "waiting", processing: "waiting", waiting: "warn" };
