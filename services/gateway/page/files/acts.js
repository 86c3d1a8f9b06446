/* The audit's newest acts: who did what, to what, and why. */

import { look } from "./api.js";
import { $, failed, fill, h, loading, nothing } from "./dom.js";
import { moment, short } from "./format.js";
import { words } from "./words.js";

let listed = false;

export async function listActs() {
  const body = $("acts-body");
  if (!listed) fill(body, loading());
  try {
    const { acts } = await look("audit?limit=12");
    fill(body, acts.length ? h("ul", { class: "rows acts" }, acts.map(row)) : nothing("Nobody did anything yet", "Acts of people, and what lanes do by themselves, are listed here."));
    listed = true;
  } catch (problem) {
    if (problem.status !== 401) fill(body, failed(problem.message, listActs));
    listed = false;
  }
}

const TOPUP = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function row(act) {
  const target = TOPUP.test(act.target) ? h("a", { href: `#topup/${act.target}`, title: act.target }, short(act.target)) : act.target;
  return h("li", {}, h("span", { class: "soft number" }, moment(act.at_ms)), h("b", { class: "by" }, act.who.split("#")[0]),
    h("span", { class: "what" }, h("span", {}, `${words(act.act)} `, target), act.why ? h("span", { class: "soft small" }, act.why) : null));
}
