/* A provider's statement of a day against the books: what is matched, what differs, what to propose. */

import { act, upload } from "./api.js";
import { $, fill, h, mark, put, toast } from "./dom.js";
import { amount, count, short } from "./format.js";

const BYTES_MAX = 900_000;

export function followStatement() {
  const form = $("statement-form");
  const yesterday = new Date(Date.now() - 86_400_000);
  form.elements.day.value = [yesterday.getFullYear(), yesterday.getMonth() + 1, yesterday.getDate()].map((part) => String(part).padStart(2, "0")).join("-");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [file] = form.elements.file.files;
    const button = form.querySelector("button");
    button.disabled = true;
    say("");
    try {
      if (!file) throw new Error("Choose the file that the provider sent");
      if (file.size > BYTES_MAX) throw new Error("The file is larger than 900 kB: use topup reconcile");
      const asked = new URLSearchParams({ provider: form.elements.provider.value, day: form.elements.day.value, file: plain(file.name) });
      show((await upload(`reconcile?${asked}`, file)).found);
    } catch (problem) {
      fill($("statement-body"));
      say(problem.message);
    } finally {
      button.disabled = false;
    }
  });
}

/** Offer these providers, those that this house knows. */
export function offerProviders({ flow }) {
  const list = $("statement-form").elements.provider;
  if (flow === null || list.options.length === flow.lanes.length) return;
  fill(list, flow.lanes.map(({ provider }) => h("option", { value: provider }, provider)));
  list.value = "LATCOM";
}

const plain = (name) => name.replace(/[^A-Za-z0-9 ._()+-]/g, "_").replace(/^[^A-Za-z0-9]/, "f").slice(0, 120);

function say(problem) {
  $("statement-problem").hidden = !problem;
  put($("statement-problem"), problem);
}

function show(found) {
  const left = `${count(found.lines_read)} lines read, ${count(found.lines_of_other_days)} of other days, ${count(found.lines_not_paid)} not paid there.`;
  fill($("statement-body"),
    h("p", { class: "result", "data-tone": found.clean ? "good" : "warn", role: "status" }, h("b", {}, found.clean ? "All is matched." : "There are differences."), ` ${left}`),
    found.totals.length ? table(["Class", "Theirs", "", "Ours", "", "Difference"], found.totals.map(sum)) : null,
    found.differences.length ? [h("h3", {}, `Differences${found.differences_count > found.differences.length ? `, the first of ${count(found.differences_count)}` : ""}`), table(["What", "Row", "Theirs", "Topup", "Ours"], found.differences.map(difference))] : null,
    found.ends.length ? [h("h3", {}, "Unresolved topups whose end it shows"), h("ul", { class: "rows" }, found.ends.map(end))] : null);
}

const table = (names, rows) =>
  h("div", { class: "wide" }, h("table", { class: "plain" },
    h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows)));

const sum = (one) =>
  h("tr", { "data-class": one.class }, h("td", {}, one.class), h("td", { class: "number" }, count(one.theirs_count)), h("td", { class: "number" }, `${amount(one.theirs_amount)} ${one.currency}`),
    h("td", { class: "number" }, count(one.ours_count)), h("td", { class: "number" }, `${amount(one.ours_amount)} ${one.currency}`), h("td", { class: "number" }, amount(one.difference)));

const difference = (one) =>
  h("tr", {}, h("td", {}, one.class), h("td", { class: "number" }, one.row ?? "–"), h("td", { class: "number" }, [one.their_amount, one.their_phone, one.their_transaction].filter(Boolean).join(" · ") || "–"),
    h("td", {}, one.topup_id ? h("a", { href: `#topup/${one.topup_id}` }, short(one.topup_id)) : "–"), h("td", { class: "number" }, [one.our_amount, one.our_status].filter(Boolean).join(" · ") || "–"));

function end(one) {
  const button = h("button", { type: "button", "data-tone": one.to === "failed" ? "bad" : "good" }, `Propose ${one.to}`);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await act(`unresolved/${one.topup_id}/propose`, { to: one.to, evidence: one.evidence, ...(one.asked_at ? { asked_at: one.asked_at } : {}) });
      toast("Proposed: another operator confirms it.");
      document.dispatchEvent(new Event("acted"));
    } catch (problem) {
      toast(problem.message, "bad");
      button.disabled = false;
    }
  });
  const row = h("li", { class: "ending" }, h("span", { class: "what" }, h("a", { href: `#topup/${one.topup_id}` }, short(one.topup_id)), h("span", { class: "soft small" }, one.evidence)), button);
  mark(row, "data-to", one.to);
  return row;
}
