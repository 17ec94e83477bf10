// The service worker: shows that something waits, in fixed words, and acts on a press.
//
// A push holds an opaque id and a kind, never a name or a role: whoever sees this screen, or the
// server of the push service, learns that something waits. The words are those of channels/calling.py.
"use strict";

const WORDS = {
  ask: ["Somebody asks for your yes", "Open it to see who and what."],
  own: ["Is this you?", "Something asks for access in your name."],
  grant: ["Access was given in your name", "Not you? Open it and say so."],
  alarm: ["Something about your access changed", "Open it to see what."],
  more: ["More requests wait", "Open your inbox."],
  withdraw: ["Nothing to do any more", "It was answered, or it is over."],
  test: ["Borrow can reach you here", "This was a test."],
};
const ACTIONS = {
  ask: [["review", "Review"], ["deny", "Deny"]],
  own: [["review", "Review"], ["deny", "Deny"]],
  grant: [["review", "Review"], ["report", "That was not me"]],
};
const HANDLE = /^[A-Za-z0-9_-]{22}$/;
// Safari takes the permission away from pages whose pushes show nothing.
const MUST_SHOW = /AppleWebKit/.test(navigator.userAgent) && !/Chrom/.test(navigator.userAgent);

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("push", (event) => {
  event.waitUntil(arrived(read(event.data)));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(pressed(event.action, event.notification.data || {}));
});

// The push service gave this browser a new address: tell it on, or nothing arrives any more.
self.addEventListener("pushsubscriptionchange", (event) => {
  event.waitUntil(moved(event));
});

function read(data) {
  try {
    const said = data.json();
    if (Object.hasOwn(WORDS, said.kind) && HANDLE.test(said.id)) {
      return { id: said.id, kind: said.kind, quiet: said.q === 1 };
    }
  } catch {
    // Not ours, or of a newer version: say that something waits.
  }
  return { id: "", kind: "more", quiet: true };
}

async function arrived(call) {
  if (call.kind === "withdraw") {
    const shown = await self.registration.getNotifications({ tag: call.id });
    const told = shown.some((each) => each.data?.kind === "withdraw"); // what was said here stays
    if (told || (shown.length === 0 && !MUST_SHOW)) {
      return;
    }
  }
  await show(call);
  await count();
}

async function show(call, words = WORDS[call.kind]) {
  const quiet = call.quiet || call.kind === "withdraw";
  const actions = (ACTIONS[call.kind] || []).map(([action, title]) => ({ action, title }));
  await self.registration.showNotification(words[0], {
    body: words[1],
    tag: call.id || "borrow",
    renotify: !quiet,
    silent: quiet,
    requireInteraction: call.kind === "ask" || call.kind === "own",
    icon: "/static/icon-192.png",
    badge: "/static/badge-96.png",
    actions,
    data: { id: call.id, kind: call.kind },
  });
}

// How many questions stand open here, on the icon, where that is to be had.
async function count() {
  if (!navigator.setAppBadge) {
    return;
  }
  const shown = await self.registration.getNotifications();
  const open = shown.filter((each) => ["ask", "own", "more"].includes(each.data?.kind)).length;
  await (open ? navigator.setAppBadge(open) : navigator.clearAppBadge()).catch(() => {});
}

async function pressed(action, { id, kind }) {
  if (action === "deny" || action === "report") {
    await say(action, id, kind);
  } else if (kind === "withdraw" || kind === "test") {
    await open("/");
  } else {
    await open(id ? `/push/open/${id}` : "/"); // the body, and Review
  }
  await count();
}

async function say(action, id, kind) {
  const done = await fetch(`/push/${action}/${id}`, {
    method: "POST",
    credentials: "same-origin",
    redirect: "error",
  }).then((answer) => answer.ok, () => false);
  const words = done
    ? action === "deny"
      ? ["Denied", "Nothing was given."]
      : ["Reported", "That access is taken back."]
    : ["That did not work from here", "Open it: you may be signed out, or it is over."];
  await show({ id, kind: done ? "withdraw" : kind, quiet: done }, words);
}

async function open(path) {
  const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const there = windows.find((each) => new URL(each.url).pathname === path);
  if (there) {
    await there.focus();
  } else {
    await self.clients.openWindow(path);
  }
}

async function moved(event) {
  const old = event.oldSubscription;
  const fresh =
    event.newSubscription ||
    (old && (await self.registration.pushManager.subscribe(old.options)));
  if (fresh) {
    await fetch("/push/subscribe", {
      method: "POST",
      credentials: "same-origin",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(fresh.toJSON()),
    });
  }
}
