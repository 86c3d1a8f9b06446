/* Asks the admin API with the cookie; an act says besides what only our own page can know. */

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

export const signedOut = new EventTarget();
let csrf = "";

async function read(response) {
  const told = await response.json().catch(() => null);
  if (response.ok && told !== null) return told;
  throw new Refused(response.status, told?.error ?? `The gateway answered ${response.status}`);
}

async function send(path, how) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", cache: "no-store", redirect: "error", ...how });
  } catch {
    throw new Refused(0, "No gateway answers; it is tried again");
  }
  return read(response);
}

const json = (body) => ({
  method: "POST",
  headers: { "content-type": "application/json", "x-csrf-token": csrf },
  body: JSON.stringify(body),
});

async function asOperator(path, how) {
  try {
    return await send(`api/admin/${path}`, how);
  } catch (problem) {
    if (problem.status === 401) signedOut.dispatchEvent(new Event("out"));
    throw problem;
  }
}

/** Look at something. */
export const look = (path) => asOperator(path, {});

/** Do something. */
export const act = (path, body) => asOperator(path, json(body));

/** Send a file as it is. */
export const upload = (path, file) =>
  asOperator(path, {
    method: "POST",
    headers: { "content-type": "application/octet-stream", "x-csrf-token": csrf },
    body: file,
  });

function keep(session) {
  csrf = session.csrf;
  return session;
}

/** Who is signed in; raises Refused. */
export const session = async () => keep(await send("api/admin/session", {}));
export const signIn = async (key) => keep(await send("api/admin/sign-in", json({ key })));
export const signOut = () => send("api/admin/sign-out", json({}));
