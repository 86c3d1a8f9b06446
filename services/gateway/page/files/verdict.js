/* The first question of a night, answered in a sentence: is money moving, and what is stuck? */

import { $, mark, put } from "./dom.js";
import { age, count, moment, rate } from "./format.js";

const OLD_S = 60;

export function showVerdict(frame) {
  const [tone, sentence, more] = verdict(frame);
  mark($("verdict-box"), "data-tone", tone);
  put($("verdict"), sentence);
  put($("verdict-more"), more);
  document.title = tone === "good" || tone === "waiting" ? "topup: operations" : `(!) ${sentence}`;
}

function verdict({ flow, unknown }) {
  if (flow === null) return ["bad", "The streams do not answer.", "Nothing is accepted, and nothing accepted is lost: it goes on when they are back."];
  const stuck = flow.lanes.filter((lane) => lane.state === "held");
  if (stuck.length) return ["warn", `${names(stuck)} ${stuck.length > 1 ? "are" : "is"} held.`, why(stuck[0])];
  const away = flow.lanes.filter((lane) => !lane.served && lane.waiting + lane.active + lane.delayed > 0);
  if (away.length) return ["bad", `Nobody works on ${names(away)}.`, "Topups wait there, and no living dispatcher has the provider's access."];
  const old = flow.lanes.find((lane) => lane.oldest_waiting_seconds >= OLD_S);
  if (old) return ["warn", `Topups wait on ${old.provider}.`, `The oldest has waited for ${age(old.oldest_waiting_seconds)}: more dispatchers, or a slow provider.`];
  const bad = flow.lanes.find((lane) => lane.ended >= 20 && lane.success_share < 0.8);
  if (bad) return ["warn", `${bad.provider} refuses a lot.`, `Of the ${count(bad.ended)} topups of the last minute it paid ${Math.floor(bad.success_share * 100)} %.`];
  const books = unknown.books ? ` ${unknown.books}.` : "";
  if (flow.rates && flow.rates.succeeded > 0) return [books ? "warn" : "good", "Money is moving.", `${rate(flow.rates.succeeded)} topups a second reach their phones.${books}`];
  const quiet = flow.lanes.some((lane) => lane.ended > 0) ? "Nothing came in for some seconds." : "Nothing came in for a while.";
  return [books ? "warn" : "quiet", "All is quiet.", `${quiet} Nothing waits, nothing is held.${books}`];
}

const names = (lanes) => lanes.map((lane) => lane.provider).join(" and ");

export function why(lane) {
  const until = lane.until ? `until ${moment(lane.until)}, then one topup tries it` : "until somebody releases it";
  return `${lane.reason ?? "no reason given"}: by ${lane.by} since ${moment(lane.since)}, ${until}.`;
}
