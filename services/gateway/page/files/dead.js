/* What was put aside for people: why, what it holds, and what may be done about it. */

import { act, look } from "./api.js";
import { ask } from "./asking.js";
import { $, failed, fill, h, loading, mark, nothing, put, toast } from "./dom.js";
import { count, moment, short } from "./format.js";
import { openSheet } from "./sheet.js";

const LISTED_MAX = 100;
let listed = false;

export async function listDead() {
  const body = $("dead-body");
  if (!listed) fill(body, loading());
  try {
    const { letters } = await look(`dead?limit=${LISTED_MAX}`);
    put($("count-dead"), letters.length ? count(letters.length) + (letters.length === LISTED_MAX ? "+" : "") : "");
    mark($("dead"), "data-tone", letters.length ? "warn" : null);
    fill(body, letters.length
      ? h("ul", { class: "rows" }, letters.map(row))
      : nothing("Nothing was put aside", "All that came could be read and carried on."));
    listed = true;
  } catch (problem) {
    if (problem.status !== 401) fill(body, failed(problem.message, listDead));
    listed = false;
  }
}

const row = (letter) =>
  h("li", {}, h("button", { type: "button", class: "row", onclick: () => open(letter.id) },
    h("span", { class: "soft number" }, moment(letter.at)),
    h("span", { class: "what" }, h("span", {}, letter.cause), h("span", { class: "soft small" }, `${letter.lane} · ${short(letter.topup_id)}`)),
    letter.redrivable ? h("span", { class: "chip", "data-tone": "waiting" }, h("i"), h("b", {}, "may be driven again")) : null));

async function open(id) {
  await openSheet("Dead letter", async () => {
    const { letter, payload, source, history } = await look(`dead/${encodeURIComponent(id)}`);
    const button = (word, path, tone) =>
      h("button", { type: "button", "data-tone": tone, onclick: () => deal(letter, word, path, tone) }, word);
    return [
      h("p", { class: "lead" }, letter.cause),
      facts({ letter: letter.id, "put aside": moment(letter.at), lane: letter.lane, topup: letter.topup_id, "copy of": source ?? "–" }),
      letter.dealt_with ? h("p", {}, `${letter.dealt_with.what} by ${letter.dealt_with.by}: ${letter.dealt_with.reason}`) : h("div", { class: "buttons start" },
        letter.redrivable ? button("Drive again", "redrive", "good") : null, button("Discard", "discard", "bad")),
      h("h3", {}, "What it holds"),
      h("pre", { tabindex: 0 }, typeof payload === "string" ? payload : JSON.stringify(payload, null, 2)),
      h("h3", {}, "History"),
      h("ol", { class: "timeline" }, history.map(({ at, what }) => h("li", {}, h("span", { class: "soft number" }, at ? moment(at) : "now"), h("div", {}, what)))),
    ];
  });
}

export const facts = (pairs) =>
  h("dl", { class: "facts" }, Object.entries(pairs).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value ?? "–")]));

function deal(letter, word, path, tone) {
  ask({
    title: `${word}: ${letter.id}`,
    about: path === "redrive" ? "Its topup is accepted as new, under its own id, if nothing was ever begun for it; all else is refused." : "It stays readable for 90 days, with your name and reason.",
    fields: [{ name: "reason", label: "Why", required: true, maxlength: 300, placeholder: "written by a faulty tool, ticket 4711" }],
    word,
    tone,
    do: async ({ reason }) => {
      const told = await act(`dead/${encodeURIComponent(letter.id)}/${path}`, { reason });
      toast(`It was ${told.done}.`);
      $("sheet").close();
    },
  });
}
