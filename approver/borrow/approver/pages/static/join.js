// The landing of an invitation. Its key is in the fragment: taken out of the address bar at once,
// kept in this page's memory only, and posted to our own server.

import { bytes, make, post, put, run } from "./passkeys.js";

const root = document.getElementById("join");
const members = new URLSearchParams(location.hash.slice(1));
history.replaceState(null, "", location.pathname);
root.hidden = false;

function part(name) {
  for (const each of root.querySelectorAll(":scope > [data-part]")) {
    each.hidden = each.dataset.part !== name;
  }
}

// Four words of a key's thumbprint, as the command line shows them (proquints of 8 bytes).
function words(print) {
  const data = bytes(print);
  const word = (bits) =>
    "bdfghjklmnprstvz"[(bits >> 12) & 15] + "aiou"[(bits >> 10) & 3] +
    "bdfghjklmnprstvz"[(bits >> 6) & 15] + "aiou"[(bits >> 4) & 3] +
    "bdfghjklmnprstvz"[bits & 15];
  return [0, 2, 4, 6].map((at) => word((data[at] << 8) | data[at + 1])).join("-");
}

function nothing(problem) {
  put(root, "problem", problem);
  part("none");
}

// The line for a workstation is pasted into a shell: of the link only what an invitation has, and
// spelled so that no quote ends it.
function line() {
  const said = ["v", "k", "a", "m", "p"].map((name) => [name, members.get(name) ?? ""]);
  return `borrow join '${root.dataset.issuer}/join#${new URLSearchParams(said)}'`;
}

async function open() {
  const invitation = members.get("k");
  if (!invitation || members.get("v") !== "1" || !members.get("a") || !members.get("m")) {
    return nothing("This link holds no invitation. It may have been cut.");
  }
  let person;
  try {
    ({ person } = await post("/join/begin", { invitation }));
    put(root, "words_a", words(members.get("a")));
    put(root, "words_m", words(members.get("m")));
  } catch (error) {
    return nothing(error.message);
  }
  put(root, "person", person);
  put(root, "command", line());
  part("join");
  const form = root.querySelector("form");
  if (form) run(form, (data) => register(invitation, data.get("name").trim()));
}

async function register(invitation, name) {
  const options = await post("/join/begin", { invitation });
  const attestation = await make(options);
  const { waits } = await post("/join", { invitation, attestation, name });
  put(root, "waits", waits >= 7200 ? `${Math.round(waits / 3600)} hours` : `${Math.ceil(waits / 60)} minutes`);
  for (const each of root.querySelectorAll("[data-when]")) {
    each.hidden = (each.dataset.when === "later") !== waits > 0;
  }
  part("done");
  root.querySelector('[data-part="done"]').focus();
}

// Another invitation, opened while this page is: browsers only change the fragment then.
addEventListener("hashchange", () => location.reload());
open();
