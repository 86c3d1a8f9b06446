/* Makes and changes elements; text is only ever text, so nothing that merchants send can be code. */

export const $ = (id) => document.getElementById(id);

/** Make an element: `h("p", {class: "soft"}, "text", child)`; `on…` are listeners. */
export function h(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** Show this text; the element is left alone where it does already. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set or take away an attribute, only where it changes. */
export function mark(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
}

/** Show these in place of what is there. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
}

/** A sentence where a list has nothing in it. */
export const nothing = (title, more) =>
  h("div", { class: "nothing" }, h("b", {}, title), h("span", { class: "soft" }, more));

/** A sentence where a list cannot be had, and a way to ask again. */
export const failed = (problem, again) =>
  h("div", { class: "nothing", "data-tone": "bad", role: "alert" },
    h("b", {}, "This cannot be shown right now"), h("span", { class: "soft" }, problem),
    h("button", { type: "button", onclick: again }, "Ask again"));

/** Grey bars where a list is still to come. */
export const loading = (rows = 3) =>
  h("div", { class: "loading", "aria-label": "Loading" }, Array.from({ length: rows }, () => h("span")));

/** Say something for a few seconds. */
export function toast(text, tone = "good") {
  const shown = h("p", { class: "toast", "data-tone": tone }, text);
  $("toasts").append(shown);
  setTimeout(() => shown.remove(), 8000);
}
