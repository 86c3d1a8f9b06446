/* Money in limbo is settled by two people: one proposes on evidence, another one confirms. */

import { act } from "./api.js";
import { ask } from "./asking.js";
import { h, toast } from "./dom.js";
import { moment } from "./format.js";

const FILE_BYTES_MAX = 65_536;

export function settle(story, limbo, again) {
  if (limbo === null) return h("p", { class: "problem" }, "What was proposed cannot be told right now; open it again.");
  const open = limbo.proposals.find((one) => one.state === "proposed");
  return h("section", { class: "settling", "aria-label": "Settle it" },
    h("h3", {}, "Decide"),
    story.status === "unresolved" && !open ? undecided(story, again) : null,
    limbo.proposals.map((one) => proposal(story.topup_id, one, again)));
}

const undecided = (story, again) => [
  h("p", { class: "soft" }, "It was sent, and nobody knows whether it was paid. Ask the provider, then propose what their answer shows; another operator confirms."),
  h("div", { class: "buttons start" },
    h("button", { type: "button", "data-tone": "good", onclick: () => propose(story, "succeeded", again) }, "Propose: succeeded"),
    h("button", { type: "button", "data-tone": "bad", onclick: () => propose(story, "failed", again) }, "Propose: failed")),
];

function proposal(topupId, one, again) {
  const mine = one.maker === document.body.dataset.who && document.body.dataset.alone !== "true";
  return h("article", { class: "proposal", "data-state": one.state },
    h("p", {}, h("b", {}, one.maker), ` proposed `, h("b", {}, one.to), h("span", { class: "soft" }, ` ${moment(one.made_at)}`)),
    h("blockquote", {}, one.evidence),
    one.asked_at ? h("p", { class: "soft small" }, `The provider was asked ${moment(one.asked_at)}.`) : null,
    one.file ? file(one.file) : null,
    one.state === "proposed"
      ? [h("div", { class: "buttons start" },
          h("button", { type: "button", class: "primary", "data-tone": "good", disabled: mine, onclick: () => confirm(topupId, one, again) }, "Confirm"),
          h("button", { type: "button", onclick: () => withdraw(topupId, one, again) }, "Withdraw")),
        mine ? h("p", { class: "soft small" }, "You proposed it: another person must confirm it.") : null]
      : h("p", { class: "soft small" }, `${one.state} by ${one.checker} ${moment(one.ended_at)}${one.ended_why ? `: ${one.ended_why}` : ""}`));
}

function file({ name, sha256, content }) {
  if (content === null) return h("p", { class: "soft small" }, `${name}, SHA-256 ${sha256}`);
  const bytes = Uint8Array.from(atob(content), (sign) => sign.charCodeAt(0));
  const address = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
  return h("p", { class: "small" }, h("a", { href: address, download: name }, name), h("span", { class: "soft" }, ` SHA-256 ${sha256.slice(0, 16)}…`));
}

function propose(story, to, again) {
  const failed = to === "failed";
  ask({
    title: `Propose: it ${failed ? "failed" : "succeeded"}`,
    about: failed ? "The money goes back to the customer. A no counts only where the provider was asked after the quarantine." : "The customer is charged, and the provider owed.",
    fields: [
      { name: "evidence", label: "What it rests on", kind: "area", required: true, maxlength: 3000, placeholder: "their support found no such transfer, ticket 4711" },
      ...(failed ? [{ name: "asked", label: "When the provider was asked", kind: "datetime-local", step: 1, required: true }] : []),
      { name: "file", label: "A file that shows it (at most 64 KB)", kind: "file" },
    ],
    word: `Propose ${to}`,
    tone: failed ? "bad" : "good",
    do: async ({ evidence, asked, file: shown }) => {
      const body = { to, evidence };
      if (asked) body.asked_at = new Date(asked).toISOString();
      if (shown) body.file = { name: shown.name, content: await base64(shown) };
      await act(`unresolved/${story.topup_id}/propose`, body);
      toast("Proposed: another operator confirms it.");
      again();
    },
  });
}

function confirm(topupId, one, again) {
  ask({
    title: `Settle it as ${one.to}`,
    about: `${one.maker} proposed it: ${one.evidence}`,
    fields: [],
    word: `Yes, it ${one.to}`,
    tone: one.to === "failed" ? "bad" : "good",
    do: async () => {
      const told = await act(`unresolved/${topupId}/confirm`, { proposal: one.id });
      toast(`It is settled: ${told.status}.`);
      again();
    },
  });
}

function withdraw(topupId, one, again) {
  ask({
    title: "Take the proposal back",
    fields: [{ name: "reason", label: "Why", required: true, maxlength: 300, placeholder: "mistaken" }],
    word: "Withdraw",
    tone: "warn",
    do: async ({ reason }) => {
      await act(`unresolved/${topupId}/withdraw`, { proposal: one.id, reason });
      toast("It is withdrawn.");
      again();
    },
  });
}

async function base64(file) {
  if (file.size > FILE_BYTES_MAX) throw new Error("The file is larger than 64 KB");
  const bytes = new Uint8Array(await file.arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}
