// The story of one order, out of what four routes answer: which step was taken when, and which is awaited. Pure.

import { eventName, millis, money, trouble } from "./format.js";

/** What becomes of a payment no more by itself. */
const PAYMENT_ENDS = ["authorized", "declined", "withdrawn", "refund_declined", "refunded"];
const CHARGED = ["authorized", "refunding", "refund_declined", "refunded"];

/** { milestones, entries, isSettled } of an order, its events, notifications and payments. */
export function story({ order, events, notifications, payments }) {
  const told = (event) => notifications.find((notification) => notification.event_id === event.event_id);
  const first = events.find((event) => event.event_type === "order.created");
  const milestones = milestonesOf(order, first, first && told(first), payments[0]);
  const entries = [...events.flatMap((event) => entriesOf(event, told(event))), ...payments.flatMap(entriesOfPayment), ...notifications.filter((told) => told.event_type.startsWith("payment.")).map(mailOfPayment)];
  if (payments.length === 0 && order.payment === "due") entries.push(entry("Paid", null, "The payment service has not read it yet."));
  if (!first) entries.push(entry("Order placed", order.created_at, "Its events were purged since."));
  entries.sort((one, other) => (one.ms ?? Infinity) - (other.ms ?? Infinity));
  const isTold = (event) => ["dead", "published"].includes(event.state) && (event.state === "dead" || isMailed(told(event)));
  const payment = payments[0]?.state;
  const isPaid = PAYMENT_ENDS.includes(payment) && !(order.status === "cancelled" && payment === "authorized");
  const isHeard = order.payment !== "due" || payment === "withdrawn";
  return { milestones, entries, isSettled: events.every(isTold) && notifications.every(isMailed) && isPaid && isHeard };
}

const isMailed = (notification) => notification !== undefined && notification.email.state !== "pending";

const isGivenUp = (email) => ["dead", "discarded"].includes(email?.state);

function milestonesOf(order, event, notification, payment) {
  const start = millis(order.created_at);
  const step = (key, name, state, at, note) => ({ key, name, state, at: at ?? null, ms: at ? millis(at) - start : null, note: note ?? null });
  const waits = (at) => (at ? "done" : "waiting");
  const email = notification?.email;
  const isDead = event?.state === "dead" || event?.state === "held";
  return [
    step("committed", "Committed", "done", order.created_at),
    step("published", "Published", isDead ? "failed" : event ? waits(event.published_at) : "done", event?.published_at,
      isDead ? event.state : event?.stream_sequence ? `seq ${event.stream_sequence}` : null),
    step("processed", "Processed", waits(notification?.created_at), notification?.created_at),
    paid(step, order, payment),
    step("mailed", "Mailed", isGivenUp(email) ? "failed" : waits(email?.sent_at), email?.sent_at, isGivenUp(email) ? email.state : null),
  ];
}

function paid(step, order, payment) {
  if (payment?.state === "declined") return step("paid", "Paid", "failed", payment.updated_at, "declined");
  if (payment?.state === "authorized") return step("paid", "Paid", "done", payment.updated_at);
  if (payment && CHARGED.includes(payment.state)) return step("paid", "Paid", "undone", payment.updated_at, payment.state);
  if (payment?.state === "withdrawn") return step("paid", "Paid", "undone", payment.updated_at, "withdrawn");
  return step("paid", "Paid", order.payment === "due" ? "waiting" : "done", null, order.payment === "due" ? null : order.payment);
}

function entry(what, at, detail, state = "done") {
  return { what, at: at ?? null, ms: at ? millis(at) : null, detail: detail ?? null, state: at ? state : state === "done" ? "waiting" : state };
}

function entriesOf(event, notification) {
  const name = eventName(event.event_type);
  const entries = [entry(`${name}, committed`, event.occurred_at, "The order and its event, in one transaction.")];
  if (["dead", "held"].includes(event.state)) {
    return [...entries, entry(`${name}: ${event.state}, needs a person`, null, trouble(event.last_error) ?? "It waits behind an earlier event of the order.", "failed")];
  }
  const tried = event.attempts > 0 ? `Tried ${event.attempts} times. ${trouble(event.last_error) ?? ""}` : null;
  const place = event.stream_sequence ? `Sequence ${event.stream_sequence} of the stream.` : "The relay has not published it yet.";
  entries.push(entry("Published", event.published_at, tried ?? place));
  entries.push(entry("Processed", notification?.created_at, notification ? "One notification, in one transaction with its receipt." : "The notification service has not read it yet."));
  return [...entries, mail(notification)];
}

function mail(notification) {
  const email = notification?.email;
  if (isGivenUp(email)) {
    const what = email.state === "dead" ? "Email is dead, needs a person" : "Email was discarded by a person";
    return entry(what, null, trouble(email.last_error) ?? "No reason is kept.", "failed");
  }
  const tried = email?.attempts > 1 ? `At the ${email.attempts}th attempt.` : null;
  return entry("Mailed", email?.sent_at, email ? tried : "Nothing to send yet.");
}

const mailOfPayment = (notification) => {
  const told = mail(notification);
  return { ...told, what: `${told.what}: ${eventName(notification.event_type).toLowerCase()}` };
};

function entriesOfPayment(payment) {
  const amount = money(payment.amount_minor, payment.currency);
  const asked = entry("Payment asked for", payment.created_at, `${amount}, by the payment service.`);
  const ends = {
    authorized: ["Paid", `${amount}, charge ${payment.provider_ref}.`],
    declined: ["Payment declined", payment.decline_reason],
    withdrawn: ["Payment withdrawn", "The order was cancelled before anything was taken."],
    refunded: ["Refunded", `${amount} given back.`],
    refunding: ["Refund under way", `${amount} are being given back.`],
    refund_declined: ["Refund declined", `${payment.decline_reason}; a person decides.`],
    cancelling: ["Payment being cancelled", null],
    due: ["Paid", `${amount} are due; the provider is being asked.`],
  };
  const [what, detail] = ends[payment.state] ?? [payment.state, null];
  const isOver = PAYMENT_ENDS.includes(payment.state);
  return [asked, entry(what, isOver ? payment.updated_at : null, detail, ["declined", "refund_declined"].includes(payment.state) ? "failed" : "done")];
}
