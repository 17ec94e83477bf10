// On every page: times in the person's own zone, and time that is left. Works without.

const html = document.documentElement;
html.classList.add("with-js");
// The phone's clock may be wrong: what is left is counted from the server's.
const ahead = Number(html.dataset.now) * 1000 - Date.now();

function left(until) {
  const seconds = Math.max(0, Math.round(until - (Date.now() + ahead) / 1000));
  if (seconds >= 86400) return `${Math.round(seconds / 8640) / 10} days left`;
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  if (seconds === 0) return "over";
  return hours
    ? `${hours}:${two(minutes)}:${two(seconds % 60)} left`
    : `${minutes}:${two(seconds % 60)} left`;
}

function tick() {
  for (const time of document.querySelectorAll("time[data-until]")) {
    const text = left(Number(time.dataset.until));
    if (time.textContent !== text) time.textContent = text;
  }
}

const written = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  time.title = written.format(at);
  if (!time.dataset.until) time.textContent = written.format(at);
}
tick();
if (document.querySelector("time[data-until]")) setInterval(tick, 1000);
