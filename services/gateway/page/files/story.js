/* The story of one topup: what is known, in the order of time; and where it is settled by people. */

import { look } from "./api.js";
import { facts } from "./dead.js";
import { h } from "./dom.js";
import { amount, moment } from "./format.js";
import { TONES } from "./recent.js";
import { settle } from "./settling.js";
import { openSheet } from "./sheet.js";
import { reason, words } from "./words.js";

const ADDRESS = /^#topup\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/** Show what the address names; a link to a topup can be given to a colleague. */
export function followAddress() {
  const found = ADDRESS.exec(location.hash);
  if (found && document.body.dataset.state === "signed-in") openStory(found[1]);
}

function openStory(id) {
  openSheet("Topup", () => tell(id), () => {
    if (ADDRESS.test(location.hash)) history.replaceState(null, "", location.pathname + location.search);
  });
}

async function tell(id) {
  const [story, limbo] = await Promise.all([
    look(`topups/${id}/story`),
    look(`unresolved/${id}`).catch(() => null), // of what is not booked yet there is none
  ]);
  const again = () => setTimeout(() => openStory(id), 500);
  return [
    h("div", { class: "lead" },
      h("span", { class: "sum number" }, amount(story.amount), h("small", {}, ` ${story.currency}`)),
      h("span", { class: "chip", "data-tone": TONES[story.status] }, h("i"), h("b", {}, story.status)),
      story.reason ? h("span", { class: "soft" }, reason(story.reason)) : null),
    ...Object.values(story.unknown).map((problem) => h("p", { class: "problem" }, problem)),
    facts({
      topup: story.topup_id, phone: story.phone, customer: story.customer_id,
      provider: `${story.provider}${story.product ? `, ${story.product}` : ""}`,
      reference: story.reference, "provider's reference": story.provider_reference,
    }),
    story.status === "unresolved" || limbo?.proposals.length ? settle(story, limbo, again) : null,
    h("h3", {}, "What happened"),
    h("ol", { class: "timeline" }, story.timeline.map(moment_)),
    story.postings.length ? [h("h3", {}, "Postings"), postings(story.postings)] : null,
    story.set_aside ? h("p", { class: "problem" }, `${story.set_aside} entries contradict what is booked; people decide.`) : null,
    h("p", {}, h("a", { href: `api/admin/topups/${id}/evidence`, download: `evidence-${id}.zip` }, "Evidence as a signed file")),
  ];
}

const moment_ = ({ at, source, event, detail }) =>
  h("li", { "data-source": source }, h("span", { class: "soft number" }, moment(at)),
    h("div", {}, h("b", {}, words(event)), h("span", { class: "soft small" }, ` ${source}`), details(detail)));

function details(detail) {
  const told = Object.entries(detail).filter(([, value]) => value !== null && value !== "");
  if (!told.length) return null;
  return h("dl", { class: "facts small" }, told.map(([name, value]) => [
    h("dt", {}, words(name)), h("dd", {}, written(value)),
  ]));
}

function written(value) {
  if (Array.isArray(value) && value.every((one) => typeof one !== "object")) return value.join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

const postings = (rows) =>
  h("div", { class: "wide" }, h("table", { class: "plain" },
    h("thead", {}, h("tr", {}, ["From", "To", "Amount"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows.map((one) => h("tr", {}, h("td", {}, one.debit), h("td", {}, one.credit), h("td", { class: "number" }, `${amount(one.amount)} ${one.currency}`))))));
