// One request: a yes by passkey over exactly the bytes that the server shows in words; and what
// others did meanwhile.

import { Away, post, run, use } from "./passkeys.js";

const RETRY = 3000; // milliseconds between two tries to send a yes that is signed already
const SEND_FOR = 240000; // its statement counts for five minutes
const page = document.getElementById("request");
const path = `/r/${page.dataset.request}`;
const form = document.getElementById("approve");
let busy = false;

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

async function approve(data, say) {
  busy = true;
  try {
    const asked = await post(`${path}/statement`, {
      number: data.get("number") ?? "",
      seconds: Number(data.get("seconds")),
    });
    const assertion = await use(asked);
    await send({ statement: asked.statement, assertion }, Date.now() + SEND_FOR, say);
    location.reload();
  } catch (error) {
    const field = form.elements.number;
    if (error.state === "number_mismatch" && field) {
      field.value = "";
      field.focus();
    }
    if (error.state === "wrong_state") location.reload();
    throw error;
  } finally {
    busy = false;
  }
}

// A signed yes that did not get through is sent again until its time is over.
async function send(body, until, say) {
  for (let again = false; ; again = true) {
    try {
      return await post(`${path}/approve`, body);
    } catch (error) {
      if (again && error.state === "replayed") return; // the first try had arrived
      if (!(error instanceof Away) || Date.now() > until) throw error;
      say("Not sent yet. Trying again …", true);
      await pause(RETRY);
    }
  }
}

if (form) run(form, approve);

if (page.dataset.state === "pending") {
  setInterval(async () => {
    if (busy || document.hidden) return;
    const answer = await fetch(`${path}/state`).catch(() => null);
    if (!answer?.ok) return;
    const now = await answer.json();
    const same = now.state === page.dataset.state && String(now.answers) === page.dataset.answers;
    if (!same && !busy) location.reload();
  }, 4000);
}
