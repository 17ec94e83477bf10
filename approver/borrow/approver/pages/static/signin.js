import { post, run, use } from "./passkeys.js";

const form = document.getElementById("signin");
if (form) {
  run(form, async () => {
    const asked = await post("/signin/begin", {});
    const assertion = await use(asked);
    await post("/signin", { ceremony: asked.ceremony, assertion });
    location.replace(form.dataset.to);
  });
}
