// An invitation, made by a fresh use of a passkey; its link is shown once, and drawn for a camera.

import { post, put, run, use } from "./passkeys.js";

const SVG = "http://www.w3.org/2000/svg";
const time = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

function draw({ size, path }) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${size} ${size}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "QR code of the link");
  svg.setAttribute("shape-rendering", "crispEdges");
  const dark = document.createElementNS(SVG, "path");
  dark.setAttribute("d", path);
  svg.append(dark);
  return svg;
}

for (const form of document.querySelectorAll("form.invite")) {
  const shown = form.querySelector(".invited");
  run(form, async (data) => {
    shown.hidden = true;
    const asked = await post("/keys/invite/begin", { person: (data.get("person") ?? "").trim() });
    const assertion = await use(asked);
    const made = await post("/keys/invite", { ceremony: asked.ceremony, assertion });
    for (const name of ["person", "url", "words_a", "words_m"]) put(shown, name, made[name]);
    put(shown, "ends", `at ${time.format(new Date(made.expires_at * 1000))}`);
    put(shown, "command", `borrow join '${made.join}'`);
    form.querySelector(".drawing").replaceChildren(draw(made.drawing));
    shown.hidden = false;
    shown.focus();
  });
}
