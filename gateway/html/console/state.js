// How the pipeline stands, out of the sources: its stages, what is wrong, and what a person has to decide. Pure but for its
// sources.

import { bounded, clock, duration, eventName, rate, trouble, whole } from "./format.js";
import { sources } from "./source.js";

const UNKNOWN = { level: "unknown", word: "Unknown" };

/** Faults of the caller, who may not see it; the service is up. */
const CLOSED = ["token", "scope"];

/** One stage: its name, how it is, and two lines of facts. */
export function stages() {
  const { outbox, inbox, stats, payments } = sources;
  const [incoming, outgoing] = [payments.value?.inbox, payments.value?.outbox];
  return [
    { key: "order-svc", name: "Order service", ...service(outbox), facts: outbox.took === null ? [] : [["Answers in", duration(Math.round(outbox.took))]] },
    { key: "relay", name: "Order relay", ...relay(outbox, outbox.value), facts: backlogFacts(outbox.value) },
    { key: "broker", name: "NATS JetStream", ...broker(), facts: streamFacts(inbox.value?.stream ?? incoming?.stream) },
    { key: "notify-svc", name: "Notification service", ...consumer(inbox, inbox.value), facts: consumerFacts(inbox.value) },
    { key: "emails", name: "Emails", ...emails(stats), facts: emailFacts(stats.value?.emails) },
    { key: "payment-svc", name: "Payment service", ...consumer(payments, incoming), facts: consumerFacts(incoming) },
    { key: "payment-relay", name: "Payment relay", ...relay(payments, outgoing), facts: backlogFacts(outgoing) },
  ].map((stage) => ({ ...stage, since: sinceOf(stage.key) }));
}

const SOURCE_OF = { "order-svc": "outbox", relay: "outbox", broker: "inbox", "notify-svc": "inbox", emails: "stats", "payment-svc": "payments", "payment-relay": "payments" };

/** When what is shown of a stage was true, if it may be no more. */
function sinceOf(key) {
  const source = sources[SOURCE_OF[key]];
  return source.isFresh || source.at === null ? null : clock(source.at);
}

function service({ fault, at }) {
  if (fault?.kind === "gateway") return UNKNOWN;
  if (fault?.kind === "silent") return { level: "bad", word: "No answer" };
  if (fault?.kind === "database") return { level: "bad", word: "No database" };
  if (CLOSED.includes(fault?.kind)) return { level: "unknown", word: "Not shown" };
  if (fault) return { level: "bad", word: "Down" };
  return at === null ? { level: "unknown", word: "Asking" } : { level: "good", word: "Up" };
}

function relay(source, outbox) {
  if (source.fault || !outbox) return source.fault ? UNKNOWN : { level: "unknown", word: "Asking" };
  if (!outbox.relay_active) return { level: "bad", word: "None active" };
  return outbox.broker_outage_since ? { level: "bad", word: "Paused" } : { level: "good", word: "Active" };
}

function broker() {
  const { outbox, inbox, payments } = sources;
  if (outbox.isFresh && outbox.value.broker_outage_since) return { level: "bad", word: "Takes no events" };
  const heard = [inbox.isFresh && inbox.value, payments.isFresh && payments.value.inbox].filter(Boolean);
  if (heard.length === 0) return inbox.at === null && !inbox.fault ? { level: "unknown", word: "Asking" } : UNKNOWN;
  return heard.some((status) => status.connection === "connected") ? { level: "good", word: "Up" } : { level: "bad", word: "Not reachable" };
}

function consumer(source, inbox) {
  const up = service(source);
  if (up.level !== "good" || inbox.connection === "connected") return up;
  return { level: "bad", word: "Cut off from NATS" };
}

function emails(stats) {
  const up = service(stats);
  return up.level === "good" ? { level: "good", word: "Sending" } : up.word === "Asking" ? up : UNKNOWN;
}

function backlogFacts(outbox) {
  if (!outbox) return [];
  const age = outbox.oldest_pending_age_seconds;
  return [
    ["Waiting", bounded(outbox.pending, outbox.count_max) + (age === null ? "" : `, ${duration(age * 1000)}`)],
    ["Publishes", rate(outbox.publish_rate_per_second)],
    ["Held by", outbox.relay_holder ?? "nobody"],
    ["Lease epoch", outbox.relay_epoch === null ? "–" : whole(outbox.relay_epoch)],
  ];
}

function streamFacts(stream) {
  return stream ? [["Stream", stream.name], ["Last sequence", whole(stream.last_sequence)]] : [];
}

function consumerFacts(inbox) {
  if (!inbox?.consumer) return [];
  return [
    ["To read", whole(inbox.consumer.pending + inbox.consumer.ack_pending)],
    ["Lag", inbox.lag_seconds === null ? "unknown" : duration(inbox.lag_seconds * 1000)],
  ];
}

function emailFacts(emails) {
  return emails ? [["Sent", bounded(emails.sent, emails.count_max)], ["Waiting", bounded(emails.pending, emails.count_max)]] : [];
}

/** What is down, in sentences; the first is the most likely cause of the others. */
export function faults() {
  const { outbox, inbox, stats, payments } = sources;
  const asked = [outbox, inbox, payments];
  if (asked.every((source) => source.fault?.kind === "gateway")) {
    return [`${outbox.fault.message}. What you see is from ${clock(outbox.at ?? Date.now())}.`];
  }
  if (asked.some((source) => source.fault?.kind === "token")) return ["How things stand is shown to whoever has a token."];
  if (asked.every((source) => source.fault?.kind === "scope")) return ["Your token does not show how things stand."];
  const silent = asked.filter((source) => source.fault).map((source) => `${source.name}: ${lower(source.fault)}.`);
  if (stats.fault && !inbox.fault) silent.push(`${stats.name}: ${lower(stats.fault)}.`);
  return [
    ...silent,
    ...(outbox.isFresh ? relayFaults("order", outbox.value) : []),
    ...(payments.isFresh ? relayFaults("payment", payments.value.outbox) : []),
    ...(inbox.isFresh ? inboxFaults(inbox) : []),
    ...(payments.isFresh ? inboxFaults({ name: payments.name, value: payments.value.inbox }) : []),
  ];
}

function lower(fault) {
  return { service: "down", database: "its database is away", silent: "no answer", gateway: "no answer" }[fault.kind] ?? fault.message;
}

function relayFaults(what, outbox) {
  const waiting = `${bounded(outbox.pending, outbox.count_max)} ${outbox.pending === 1 ? "event waits" : "events wait"}`;
  if (!outbox.relay_active) return [`No ${what} relay is active: ${waiting} in the outbox.`];
  if (!outbox.broker_outage_since) return [];
  return [`NATS has taken no ${what} events since ${clock(outbox.broker_outage_since)}: ${waiting}.`];
}

function inboxFaults({ name, value }) {
  if (value.connection !== "connected") return [`${name}: no connection to NATS.`];
  if (value.position?.gone > 0) return [`${name}: the stream dropped ${whole(value.position.gone)} messages before they were read.`];
  return [];
}

/** What a person has to decide about: of which kind, how many, the newest or first of them with their reasons, by which verb. */
export function undecided() {
  const { outbox, stats, deadEmails, payments } = sources;
  const own = payments.value?.outbox;
  const [orders, ofPayments] = ["outbox-relay event list --state", "on the payments database: outbox-relay event list --state"];
  return [
    kind("dead event", outbox.value?.dead, outbox.value?.newest_dead.map(stuck), `${orders} dead`),
    kind("held event", outbox.value?.held, outbox.value?.newest_held.map(stuck), `${orders} held`),
    kind("dead payment event", own?.dead, own?.newest_dead.map(stuck), `${ofPayments} dead`),
    kind("held payment event", own?.held, own?.newest_held.map(stuck), `${ofPayments} held`),
    kind("dead message", stats.value?.dead_open, stats.value?.dead_messages.map(unreadable), "notify-svc message list"),
    kind("dead message of payments", null, payments.value?.dead_messages.map(unreadable), "payment-svc message list"),
    kind("stuck payment", null, payments.value?.stuck_payments.map(unpaid), "payment-svc payment list"),
    kind("dead email", stats.value?.emails.dead, deadEmails.value?.notifications.map(unsent), "notify-svc email list"),
  ].filter(({ count }) => count > 0);
}

/** Some were decided about since the count was taken, or the count is of a few seconds ago: the larger one is said. */
const kind = (name, count, items = [], verb) => ({ name, count: Math.max(count ?? 0, items.length), items, verb });

const stuck = ({ event_type, aggregate_id, last_error }) =>
  ({ what: eventName(event_type), id: aggregate_id, isOrder: event_type.startsWith("order."), why: trouble(last_error) ?? "It waits behind an earlier event, or its subject is paused." });

const unreadable = ({ id, stream_sequence, subject, aggregate_id }) =>
  ({ what: `Sequence ${stream_sequence}, ${subject}`, id: aggregate_id, isOrder: subject.startsWith("order."), why: `It can't be processed: the verb message show ${id} says why.` });

const unpaid = ({ id, order_id, state, effect, is_unknown }) =>
  ({ what: `${effect === "refund" ? "Refund" : "Charge"} of an order, ${state.replace("_", " ")}${is_unknown ? ", money may have moved" : ""}`, id: order_id, isOrder: true, why: `The verb payment list says what the provider said of payment ${id}.` });

const unsent = ({ event_type, order_id, email }) =>
  ({ what: eventName(event_type), id: order_id, isOrder: true, why: trouble(email.last_error) ?? "No reason was kept." });
