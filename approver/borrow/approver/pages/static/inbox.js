// An inbox that is left open shows what comes and goes.

const inbox = document.getElementById("inbox");
const shown = inbox.dataset.requests.trim().split(/\s+/).filter(Boolean).sort().join(" ");

setInterval(async () => {
  if (document.hidden) return;
  const answer = await fetch("/pending").catch(() => null);
  if (!answer) return;
  if (!answer.ok) return answer.status === 403 ? location.reload() : undefined;
  const { requests } = await answer.json();
  if (requests.sort().join(" ") !== shown) location.reload();
}, 5000);
