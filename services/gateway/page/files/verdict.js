/* What matters most, in a sentence; of a held lane, why it is held, by whom and until when. */

import { $, mark, put } from "./dom.js";
import { moment } from "./format.js";

export function showVerdict({ verdict, flow }) {
  mark($("verdict-box"), "data-tone", verdict.tone);
  put($("verdict"), verdict.sentence);
  put($("verdict-more"), verdict.lane === null ? verdict.more : why(flow.lanes.find((lane) => lane.provider === verdict.lane)));
  document.title = ["good", "quiet"].includes(verdict.tone) ? "topup: operations" : `(!) ${verdict.sentence}`;
}

export function why(lane) {
  const until = lane.until ? `until ${moment(lane.until)}, then one topup tries it` : "until somebody releases it";
  return `${lane.reason ?? "no reason given"}: by ${lane.by} since ${moment(lane.since)}, ${until}.`;
}
