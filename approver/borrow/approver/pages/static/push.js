// Tell this browser: fills the element `#push` of a page. Without this script that part stays empty.
//
// Subscribing asks the browser's maker for an address; where that is not reachable it would hang for
// ever, so it is bounded, and the page says what else reaches a person.

const WITHIN = 5000; // milliseconds for the maker's push service
const ELSEWHERE =
  "Requests also show in your inbox here, in Borrow's tray and with `borrow inbox`. " +
  "Whoever runs this server can set up ntfy or a webhook for you.";

export const phone = {
  apple: /iPhone|iPad|iPod/.test(navigator.userAgent) ||
    (navigator.platform === "MacIntel" && navigator.maxTouchPoints > 1),
  installed: matchMedia("(display-mode: standalone)").matches || navigator.standalone === true,
};

// What this browser can do: "install" | "unable" | "denied" | "off" | "on".
export async function state() {
  if (phone.apple && !phone.installed) {
    return "install";
  }
  if (!("serviceWorker" in navigator) || !("PushManager" in window) || !("Notification" in window)) {
    return "unable";
  }
  if (Notification.permission === "denied") {
    return "denied";
  }
  return (await current()) ? "on" : "off";
}

async function current() {
  const registration = await navigator.serviceWorker.getRegistration("/");
  return registration ? registration.pushManager.getSubscription() : null;
}

// Asks for permission if need be. Throws an Error whose message may be shown.
export async function subscribe(within = WITHIN) {
  if ((await Notification.requestPermission()) !== "granted") {
    throw new Error("This browser may not show notifications for this page.");
  }
  const { key } = await ask("GET", "/push/key");
  const registration = await ready();
  const wanted = bytes(key);
  const old = await registration.pushManager.getSubscription();
  if (old && !same(old.options.applicationServerKey, wanted)) {
    await old.unsubscribe(); // of another key: the server was set up anew
  }
  const asked = registration.pushManager.subscribe({
    userVisibleOnly: true,
    applicationServerKey: wanted,
  });
  const told = asked.then((made) => ask("POST", "/push/subscribe", made.toJSON()));
  told.catch(() => {}); // one that comes too late is still told on, and may fail quietly
  await bounded(told, within, "This browser's push service does not answer.");
}

export async function unsubscribe() {
  const made = await current();
  if (made) {
    await ask("POST", "/push/unsubscribe", { endpoint: made.endpoint });
    await made.unsubscribe();
  }
}

export async function test() {
  const made = await current();
  const { sent } = made ? await ask("POST", "/push/test", { endpoint: made.endpoint }) : {};
  return sent === true;
}

async function ready() {
  await navigator.serviceWorker.register("/sw.js");
  return navigator.serviceWorker.ready;
}

async function ask(method, path, body) {
  const answer = await fetch(path, {
    method,
    credentials: "same-origin",
    headers: body ? { "Content-Type": "application/json" } : {},
    body: body ? JSON.stringify(body) : undefined,
  });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    throw new Error(said.error_description || "The server did not take it.");
  }
  return said;
}

function bounded(promise, within, late) {
  let timer;
  const end = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(late)), within);
  });
  return Promise.race([promise, end]).finally(() => clearTimeout(timer));
}

function bytes(text) {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (char) => char.charCodeAt(0));
}

function same(buffer, wanted) {
  const there = new Uint8Array(buffer || []);
  return there.length === wanted.length && there.every((byte, at) => byte === wanted[at]);
}

// -- the part of the page --------------------------------------------------------------------------

const TOLD = {
  install: [
    "On an iPhone or iPad, notifications work once Borrow is on the Home Screen:",
    "tap Share, then Add to Home Screen; open Borrow from there, and come back to this page.",
  ],
  unable: ["This browser cannot be notified.", ELSEWHERE],
  denied: [
    "Notifications are blocked for this page: allow them in the browser's settings for this site.",
    ELSEWHERE,
  ],
  off: ["Get a notification here when somebody needs your yes, and when access is given in your name."],
  on: ["This browser is notified."],
};
const BUTTONS = {
  off: [["Notify me here", subscribe]],
  on: [
    ["Send a test", async () => ((await test()) ? "Sent: it should show now." : "It was not taken.")],
    ["Stop notifying here", unsubscribe],
  ],
};

async function draw(place, said = "") {
  const now = await state();
  place.dataset.state = now;
  const lines = [...TOLD[now], said].filter(Boolean).map((text) => paragraph(text));
  lines.at(-1).setAttribute("role", "status");
  const buttons = (BUTTONS[now] || []).map(([name, act]) => button(name, () => press(place, act)));
  place.replaceChildren(...lines, ...buttons);
}

async function press(place, act) {
  for (const each of place.querySelectorAll("button")) {
    each.disabled = true;
  }
  let said = "";
  try {
    said = (await act()) || "";
  } catch (error) {
    said = `${error.message} ${ELSEWHERE}`;
  }
  await draw(place, said);
}

function paragraph(text) {
  const made = document.createElement("p");
  made.textContent = text;
  return made;
}

function button(name, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = name;
  made.addEventListener("click", act);
  return made;
}

const place = document.getElementById("push");
if (place) {
  draw(place);
}
