// Numbers and times as people read them.

const WHOLE = new Intl.NumberFormat("en");
const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const EXACT = new Intl.DateTimeFormat("en-GB", {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3,
});

export const whole = (number) => WHOLE.format(number);

/** A count that stops somewhere: "100,000+". */
export const bounded = (number, max) => (number >= max ? `${WHOLE.format(max)}+` : WHOLE.format(number));

export const clock = (moment) => TIME.format(new Date(moment));
export const exact = (moment) => EXACT.format(new Date(moment));

/** Milliseconds since the epoch, to the microsecond: Date knows no more than milliseconds. */
export function millis(moment) {
  const fraction = /\.\d{3}(\d{1,3})/.exec(moment)?.[1] ?? "";
  return Date.parse(moment) + Number(`0.${fraction || 0}`);
}

/** What the services say in a word; what their servers said is for the verbs. */
const TROUBLES = {
  "broker-unavailable": "The broker takes no events.",
  "retrying": "The last try failed; it is tried again.",
  "given-up": "It failed, and is tried no more: the verb `show` has what was said.",
};
export const trouble = (code) => TROUBLES[code] ?? code;

/** 0 ms, 0.42 ms, 7.1 ms, 64 ms, 1.2 s, 5 min 3 s, 2 h 5 min. */
export function duration(ms) {
  if (ms < 0) return `−${duration(-ms)}`;
  if (ms === 0) return "0 ms";
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  if (ms < 10) return `${Number(ms.toFixed(1))} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 10) return `${Number(seconds.toFixed(2))} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** 0.07/s, 0.5/s, 12/s. */
export const rate = (perSecond) => `${Number(perSecond.toFixed(perSecond < 10 ? 2 : 0))}/s`;

export function money(minor, currency) {
  return new Intl.NumberFormat("en", { style: "currency", currency }).format(minor / 100);
}

/** The last part of a UUID of version 7, whose first part is the time. */
export const shortId = (id) => `…${id.slice(-8)}`;

/** "order.created" is "Order created" to a person. */
export function eventName(type) {
  const words = type.replaceAll(/[._]/g, " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
