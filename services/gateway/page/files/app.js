/* Begins it all: who is signed in sees the live picture, and the lists beside it. */

import { signedOut } from "./api.js";
import { listActs } from "./acts.js";
import { Charts } from "./charts.js";
import { listDead } from "./dead.js";
import { $, mark, put } from "./dom.js";
import { moment } from "./format.js";
import { guard } from "./gate.js";
import { showLanes } from "./lanes.js";
import { Live } from "./live.js";
import { showRecent } from "./recent.js";
import { showReplicas } from "./replicas.js";
import { followSearch } from "./search.js";
import { followStatement, offerProviders } from "./statement.js";
import { followAddress } from "./story.js";
import { showTiles } from "./tiles.js";
import { listUnresolved } from "./unresolved.js";
import { showVerdict } from "./verdict.js";

const STATES = {
  live: ["good", "live"],
  waiting: ["waiting", "connecting"],
  stale: ["warn", "no news"],
  lost: ["bad", "connection lost"],
};
const LISTS_EACH_MS = 30_000;

const live = new Live();
const charts = new Charts();
const lists = [listUnresolved, listDead, listActs];
let signedIn = false;
let inLimbo = -1;

function refresh() {
  if (signedIn && !document.hidden) for (const list of lists) list();
}

const close = guard(
  (session) => {
    signedIn = true;
    put($("who"), session.who);
    document.body.dataset.who = session.who;
    document.body.dataset.alone = session.resolve_alone;
    live.start();
    refresh();
    followAddress();
  },
  () => {
    signedIn = false;
    live.stop();
  },
);

signedOut.addEventListener("out", () => {
  if (signedIn) close("Your session has ended. Sign in to go on.");
});
live.addEventListener("state", ({ detail }) => {
  const [tone, text] = STATES[detail];
  mark($("live"), "data-tone", tone);
  put($("live").querySelector("b"), text);
  mark($("page"), "data-old", detail === "live" || detail === "waiting" ? null : true);
});
live.addEventListener("past", ({ detail }) => charts.begin(detail));
live.addEventListener("frame", ({ detail: frame }) => {
  put($("gateway"), frame.gateway);
  put($("seen-at"), moment(frame.at));
  showVerdict(frame);
  showTiles(frame);
  showLanes(frame);
  showReplicas(frame);
  showRecent(frame);
  offerProviders(frame);
  charts.add(frame);
  if (frame.flow !== null && frame.flow.counts.unresolved !== inLimbo) {
    inLimbo = frame.flow.counts.unresolved;
    listUnresolved();
  }
});
document.addEventListener("visibilitychange", refresh);
document.addEventListener("acted", () => setTimeout(refresh, 400)); // the ledger reads it first
window.addEventListener("hashchange", followAddress);
setInterval(refresh, LISTS_EACH_MS);
followSearch();
followStatement();
