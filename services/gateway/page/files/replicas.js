/* Which replicas are alive, each with its id, and how much each has in flight. */

import { $, fill, h, mark, nothing, put } from "./dom.js";

const rows = new Map();
let known = null;

export function showReplicas({ flow }) {
  mark($("replicas"), "data-away", flow === null ? true : null);
  if (flow === null) return;
  const names = flow.instances.map(({ service, id }) => `${service} ${id}`).join("\n");
  if (names !== known) begin(flow.instances);
  known = names;
  for (const { id, active, concurrency } of flow.instances) {
    const { bar, number } = rows.get(id);
    put(number, concurrency ? `${active} / ${concurrency}` : "alive");
    if (bar) bar.value = active;
  }
}

function begin(instances) {
  rows.clear();
  if (!instances.length) {
    fill($("replicas-body"), nothing("Nobody speaks", "No replica has spoken in the last 5 seconds."));
    return;
  }
  const services = Map.groupBy(instances, ({ service }) => service);
  const lists = [...services].map(([service, replicas]) =>
    h("div", { class: "service" }, h("h3", {}, service, h("span", { class: "soft" }, ` × ${replicas.length}`)), h("ul", {}, replicas.map(row))));
  fill($("replicas-body"), h("div", { class: "services" }, lists));
}

function row({ id, concurrency }) {
  const number = h("b", { class: "number" });
  const bar = concurrency ? h("progress", { max: concurrency, value: 0, "aria-label": `In flight at ${id}` }) : null;
  rows.set(id, { bar, number });
  return h("li", {}, h("code", {}, id), bar ?? h("span"), number);
}
