/* Signing in and out; while nobody is signed in nothing of the figures stays to be seen. */

import { session, signIn, signOut } from "./api.js";
import { $, put } from "./dom.js";

const problem = (text) => {
  $("gate-problem").hidden = !text;
  put($("gate-problem"), text);
};

function show(open) {
  $("gate").hidden = !open;
  $("page").hidden = open;
  document.body.dataset.state = open ? "signed-out" : "signed-in";
  for (const dialog of open ? document.querySelectorAll("dialog[open]") : []) dialog.close();
}

/** Call `entered` with each session that begins; return what shows the gate again. */
export function guard(entered, left) {
  const enter = (found) => {
    show(false);
    entered(found);
  };
  $("gate-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.target.querySelector("button");
    problem("");
    button.disabled = true;
    try {
      const found = await signIn($("gate-key").value.trim());
      $("gate-key").value = "";
      enter(found);
    } catch (refused) {
      problem(refused.message);
      $("gate-key").select();
    } finally {
      button.disabled = false;
    }
  });
  const close = (why) => {
    left();
    put($("gate-why"), why);
    show(true);
    $("gate-key").focus();
  };
  $("sign-out").addEventListener("click", async () => {
    await signOut().catch(() => {});
    close("You have signed out.");
  });
  session().then(enter, (refused) => {
    close("Sign in with your operator key.");
    if (refused.status !== 401) problem(refused.message);
  });
  return close;
}
