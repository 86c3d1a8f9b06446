/* How numbers, moments, durations and money are written: always as wide as the one before. */

const whole = new Intl.NumberFormat("en");
const tenths = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short" });

export const NONE = "–";
export const count = (number) => whole.format(number);
export const rate = (number) => (number < 100 ? tenths.format(number) : whole.format(Math.round(number)));
export const share = (part) => {
  if (part === null) return NONE;
  if (part === 1) return "100 %";
  return `${(Math.floor(part * 1000) / 10).toFixed(1)} %`;
};

/** Milliseconds as `84 ms`, `1.24 s`, `12.4 s` or `3 min`. */
export function took(ms) {
  if (ms < 1000) return `${ms} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < 120_000) return `${(ms / 1000).toFixed(1)} s`;
  return age(ms / 1000);
}

/** Seconds as `42 s`, `3 min 12 s`, `5 h 03 min` or `2 d 4 h`. */
export function age(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

/** The time of day here; the day too where it is another one. */
export function moment(instant) {
  const at = new Date(instant);
  const today = at.toDateString() === new Date().toDateString();
  return today ? clock.format(at) : `${day.format(at)} ${clock.format(at)}`;
}

export const since = (instant) => (Date.now() - new Date(instant).getTime()) / 1000;

/** `{"MXN": "490.00"}` as `490.00 MXN`. */
export function money(volume) {
  const sums = Object.entries(volume).sort().map(([currency, sum]) => `${amount(sum)} ${currency}`);
  return sums.join(" · ") || NONE;
}

/** A decimal text with its thousands apart, to the last digit. */
export function amount(text) {
  const [units, rest] = text.split(".");
  return `${units.replace(/\B(?=(\d{3})+$)/g, ",")}${rest === undefined ? "" : `.${rest}`}`;
}

/** The same for a narrow place: of 100,000 or more, the cents are left out. */
export const brief = (text) => amount(text.length > 8 ? text.split(".")[0] : text);

/** An id that is recognised by its end, since those of one day begin alike. */
export const short = (id) => (id.length > 12 ? `…${id.slice(-8)}` : id);
