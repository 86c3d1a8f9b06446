/* Money of which nobody knows whether it was paid, the oldest first; each opens where it is settled. */

import { look } from "./api.js";
import { $, failed, fill, h, loading, mark, nothing, put } from "./dom.js";
import { age, amount, count } from "./format.js";
import { reason } from "./words.js";

const AGES = { "1h": "up to 1 h", "1d": "up to 1 d", "7d": "up to 7 d", older: "older" };
let listed = false;
let asked = 0;

export async function listUnresolved() {
  const body = $("unresolved-body");
  const mine = ++asked;
  if (!listed) fill(body, loading());
  let page;
  try {
    page = await look("unresolved?limit=50");
  } catch (problem) {
    if (mine === asked && problem.status !== 401) fill(body, failed(problem.message, listUnresolved));
    listed = false;
    return;
  }
  if (mine !== asked) return;
  listed = true;
  show(page);
}

function show({ topups, next, limbo }) {
  const all = limbo.reduce((sum, one) => sum + one.transactions, 0);
  put($("count-unresolved"), topups.length ? count(Math.max(all, topups.length)) : "");
  put($("limbo"), limbo.map((one) => `${amount(one.volume)} ${one.currency} ${AGES[one.age]}`).join(" · "));
  mark($("unresolved"), "data-tone", topups.length ? "limbo" : null);
  if (!topups.length) {
    fill($("unresolved-body"), nothing("Nothing is in limbo", "Of every topup it is known whether it was paid."));
    return;
  }
  const list = h("ul", { class: "rows" }, topups.map(row));
  const more = h("button", { type: "button", class: "next", onclick: () => turn(list, more) }, "More");
  more.dataset.cursor = next ?? "";
  fill($("unresolved-body"), list, next ? more : null);
}

async function turn(list, more) {
  more.disabled = true;
  const page = await look(`unresolved?limit=50&cursor=${encodeURIComponent(more.dataset.cursor)}`).catch(() => null);
  more.disabled = false;
  if (page === null) return;
  list.append(...page.topups.map(row));
  if (page.next) more.dataset.cursor = page.next;
  else more.remove();
}

const row = (one) =>
  h("li", {}, h("a", { href: `#topup/${one.topup_id}` },
    h("span", { class: "number sum" }, `${amount(one.amount)} ${one.currency}`),
    h("span", { class: "what" }, h("span", {}, `${one.provider} · `, h("span", { class: "number" }, one.phone)),
      h("span", { class: "soft small" }, `${one.reason ? reason(one.reason) : "no reason told"}, for ${one.age_seconds === null ? "some time" : age(one.age_seconds)}`)),
    one.proposal
      ? h("span", { class: "chip", "data-tone": "waiting" }, h("i"), h("b", {}, `${one.proposal.maker}: ${one.proposal.to}`))
      : h("span", { class: "chip", "data-tone": "limbo" }, h("i"), h("b", {}, "undecided"))));
