// The four charts, fed from the sources after each poll.

import { chart } from "./chart.js";
import { h } from "./dom.js";
import { duration, rate, whole } from "./format.js";
import { sources } from "./source.js";
import { kept } from "./stories.js";

const RECENT_MS = 60_000;

export function charts() {
  const rates = chart({
    title: "Events a second", help: "How fast the stream grows, and how fast each service has read it", format: rate, top: 2,
    series: [{ name: "Published" }, { name: "Notified" }, { name: "Paid" }],
  });
  const latencies = chart({
    title: "After the commit", help: "The median over the newest orders of the last minute", format: duration, top: 50,
    series: [{ name: "Published" }, { name: "Notified" }, { name: "Mailed" }],
  });
  const backlog = chart({
    title: "Backlog", help: "What waits in the outboxes, at the consumers and to be mailed", top: 5,
    format: (number) => (Number.isInteger(number) ? whole(number) : ""),
    series: [{ name: "Outboxes" }, { name: "Consumers" }, { name: "Emails" }],
  });
  const lag = chart({
    title: "Lag", help: "The age of the oldest that waits", format: duration, top: 1000,
    series: [{ name: "Outbox" }, { name: "Notifications" }, { name: "Payments" }],
  });
  const meters = [meter(() => fresh(sources.inbox)?.stream?.last_sequence), meter(() => fresh(sources.inbox)?.consumer?.ack_floor),
    meter(() => fresh(sources.payments)?.inbox.consumer?.ack_floor)];
  const add = () => {
    const now = Date.now() / 1000;
    rates.add(now, meters.map((measure) => measure(now)));
    latencies.add(now, medians());
    backlog.add(now, waiting());
    lag.add(now, ages());
  };
  return { element: h("div", { class: "charts" }, [rates, latencies, backlog, lag].map(({ element }) => element)), add };
}

const fresh = (source) => (source.isFresh ? source.value : null);

/** How fast a number grows; null while it is not known, or after it fell. */
function meter(read) {
  let before = null;
  return (seconds) => {
    const number = read() ?? null;
    const grown = before && number !== null ? (number - before.number) / (seconds - before.seconds) : null;
    before = number === null ? null : { number, seconds };
    return grown !== null && grown >= 0 ? grown : null;
  };
}

function medians() {
  const orders = fresh(sources.orders)?.orders ?? [];
  const recent = orders.filter((order) => Date.now() - Date.parse(order.created_at) < RECENT_MS).map((order) => kept(order.id));
  const milestones = recent.filter(Boolean).map((told) => Object.fromEntries(told.milestones.map((step) => [step.key, step.ms])));
  return ["published", "processed", "mailed"].map((key) => median(milestones.map((steps) => steps[key]).filter((ms) => ms !== null)));
}

function median(numbers) {
  return numbers.length === 0 ? null : numbers.sort((one, other) => one - other)[Math.floor(numbers.length / 2)];
}

function waiting() {
  const [outbox, inbox, payments, stats] = [sources.outbox, sources.inbox, sources.payments, sources.stats].map(fresh);
  const unread = (status) => (status?.consumer ? status.consumer.pending + status.consumer.ack_pending : null);
  return [sum(outbox?.pending, payments?.outbox.pending), sum(unread(inbox), unread(payments?.inbox)), stats?.emails.pending ?? null];
}

/** Unknown if one of the two is: a part of a backlog would look like a small one. */
const sum = (one, other) => ((one ?? null) === null || (other ?? null) === null ? null : one + other);

function ages() {
  const [outbox, inbox, payments] = [sources.outbox, sources.inbox, sources.payments].map(fresh);
  const ms = (seconds) => (seconds === null || seconds === undefined ? null : seconds * 1000);
  return [outbox && (ms(outbox.oldest_pending_age_seconds) ?? 0), ms(inbox?.lag_seconds), ms(payments?.inbox.lag_seconds)];
}
