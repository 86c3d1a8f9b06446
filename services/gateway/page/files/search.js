/* Find a topup by what somebody has in hand: its id, a phone, a reference. */

import { look } from "./api.js";
import { $, h, nothing } from "./dom.js";
import { amount, moment } from "./format.js";
import { TONES } from "./recent.js";
import { openSheet } from "./sheet.js";

export function followSearch() {
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = $("search-text").value.trim();
    if (text) find(text);
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, dialog[open]");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    $("search-text").focus();
    $("search-text").select();
  });
}

function find(text) {
  openSheet(`Topups for “${text}”`, async () => {
    const { data, has_more, unknown } = await look(`topups?find=${encodeURIComponent(text)}`);
    if (data.length === 1) {
      location.hash = `topup/${data[0].topup_id}`;
      return h("p", { class: "soft" }, "One fits …");
    }
    if (!data.length) return nothing("None fits", "By id a topup is found at once, by phone and reference as soon as it is booked.");
    return [
      ...Object.values(unknown).map((problem) => h("p", { class: "problem" }, problem)),
      h("ul", { class: "rows" }, data.map(row)),
      has_more ? h("p", { class: "soft" }, "These are the newest; there are more.") : null,
    ];
  });
}

const row = (one) =>
  h("li", {}, h("a", { href: `#topup/${one.topup_id}` },
    h("span", { class: "number sum" }, `${amount(one.amount)} ${one.currency}`),
    h("span", { class: "what" }, h("span", {}, `${one.provider} · `, h("span", { class: "number" }, one.phone)),
      h("span", { class: "soft small" }, `${moment(one.accepted_at)} · ${one.customer_id}${one.reference ? ` · ${one.reference}` : ""}`)),
    h("span", { class: "chip", "data-tone": TONES[one.status] }, h("i"), h("b", {}, one.status))));
