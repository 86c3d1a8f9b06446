/* The sheet at the side, where one thing is told in full. */

import { $, failed, fill, h, loading } from "./dom.js";

let asked = 0;

/** Open it, or show something else in it; `tell` returns what stands in it. */
export async function openSheet(title, tell, closed = () => {}) {
  const sheet = $("sheet");
  const mine = ++asked;
  const body = h("div", { class: "sheet-body" }, loading(6));
  const close = h("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: () => sheet.close() }, "✕");
  fill(sheet, h("header", {}, h("h2", { id: "sheet-title" }, title), close), body);
  sheet.onclose = closed;
  sheet.onclick = (event) => event.target === sheet && sheet.close();
  if (!sheet.open) sheet.showModal();
  const show = async () => {
    try {
      const told = await tell();
      if (mine === asked) fill(body, told);
    } catch (problem) {
      if (mine === asked) fill(body, failed(problem.message, show));
    }
  };
  await show();
}
