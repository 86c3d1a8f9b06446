/* The dialog before each act: what it will do, why, and what came of it if it was refused. */

import { $, fill, h, put } from "./dom.js";

/** Ask; `do` gets the fields' values, and its refusal is shown where it was asked. */
export function ask({ title, about, fields, word, tone, do: perform }) {
  const dialog = $("act");
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const go = h("button", { class: "primary", type: "submit", "data-tone": tone }, word);
  const form = h("form", { method: "dialog", novalidate: true },
    h("h2", { id: "act-title" }, title), about ? h("p", { class: "soft" }, about) : null,
    fields.map(field), problem,
    h("div", { class: "buttons" }, h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Cancel"), go));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const missing = [...form.elements].find((element) => !element.checkValidity());
    if (missing) {
      problem.hidden = false;
      put(problem, `${missing.labels[0]?.firstChild.textContent ?? "That"}: ${missing.validationMessage}`);
      missing.focus();
      return;
    }
    go.disabled = true;
    problem.hidden = true;
    try {
      await perform(values(form, fields));
      dialog.close();
      document.dispatchEvent(new Event("acted"));
    } catch (refused) {
      problem.hidden = false;
      put(problem, refused.message);
    } finally {
      go.disabled = false;
    }
  });
  fill(dialog, form);
  dialog.showModal();
  form.querySelector("input, textarea, select, button")?.focus();
}

function field({ name, label, note, kind = "text", choices, ...rest }) {
  const id = `act-${name}`;
  if (kind === "checkbox") return h("label", { class: "tick" }, h("input", { id, name, type: "checkbox" }), label);
  let input;
  if (choices) input = h("select", { id, name }, choices.map(([value, text]) => h("option", { value }, text)));
  else if (kind === "area") input = h("textarea", { id, name, rows: 3, ...rest });
  else input = h("input", { id, name, type: kind, autocomplete: "off", ...rest });
  return h("div", { class: "field" }, h("label", { for: id }, label), input, note ? h("span", { class: "soft small" }, note) : null);
}

function values(form, fields) {
  const read = ({ name, kind }) => {
    const element = form.elements.namedItem(name);
    if (kind === "checkbox") return element.checked;
    return kind === "file" ? (element.files[0] ?? null) : element.value.trim();
  };
  return Object.fromEntries(fields.map((one) => [one.name, read(one)]));
}
