/* The live picture: one stream of events that is opened again and again while somebody watches. */

import { session, signedOut } from "./api.js";

const STALE_MS = 4000;
const AGAIN_MS = 1500;

export class Live extends EventTarget {
  #source = null;
  #again = 0;
  #seen = 0;
  #state = "waiting";

  constructor() {
    super();
    setInterval(() => this.#watch(), 1000);
  }

  start() {
    this.stop();
    this.#say("waiting");
    const source = (this.#source = new EventSource("api/admin/events"));
    source.addEventListener("past", (event) => this.#tell("past", event.data));
    source.addEventListener("frame", (event) => {
      this.#seen = Date.now();
      this.#say("live");
      this.#tell("frame", event.data);
    });
    source.addEventListener("over", () => this.#reopen(200));
    source.addEventListener("error", () => this.#reopen(AGAIN_MS));
  }

  stop() {
    clearTimeout(this.#again);
    this.#source?.close();
    this.#source = null;
  }

  /** Ask first whether it is the session that has ended: then somebody must sign in. */
  #reopen(afterMs) {
    this.stop();
    this.#say("lost");
    this.#again = setTimeout(async () => {
      try {
        await session();
      } catch (problem) {
        if (problem.status === 401 || problem.status === 404) signedOut.dispatchEvent(new Event("out"));
        else this.#reopen(AGAIN_MS);
        return;
      }
      this.start();
    }, afterMs);
  }

  #watch() {
    if (this.#state === "live" && Date.now() - this.#seen > STALE_MS) this.#say("stale");
  }

  #say(state) {
    if (this.#state === state) return;
    if (state === "waiting" && this.#state === "lost") return; // it is lost until a frame comes
    this.#state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }

  #tell(name, data) {
    this.dispatchEvent(new CustomEvent(name, { detail: JSON.parse(data) }));
  }
}
