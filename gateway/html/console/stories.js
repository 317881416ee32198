// Fetches the stories of orders, each until nothing more will happen to it by itself. A service that does not answer leaves
// its part as it was last told.

import { get } from "./api.js";
import { story } from "./story.js";

const known = new Map();
const KEPT_MAX = 200;

const asking = new Map();

/** The story of an order; without asking, if it is settled in this version of the order or an answer is still awaited. */
export function tell(order) {
  if (!asking.has(order.id)) asking.set(order.id, ask(order).finally(() => asking.delete(order.id)));
  return asking.get(order.id);
}

async function ask(order) {
  const kept = known.get(order.id);
  if (kept?.isSettled && kept.order.version === order.version && kept.order.payment === order.payment) return kept;
  const asked = await Promise.allSettled([
    get(`/api/orders/${order.id}/events`),
    get(`/api/notifications?order_id=${order.id}`),
    get(`/api/payments?order_id=${order.id}`),
  ]);
  const parts = kept?.parts ?? { events: [], notifications: [], payments: [] };
  for (const answer of asked) Object.assign(parts, part(answer.value));
  const faults = asked.filter((answer) => answer.reason).map((answer) => answer.reason.message);
  const { isSettled, ...told } = story({ order, ...parts });
  const whole = { order, parts, faults, ...told, isSettled: isSettled && faults.length === 0 };
  if (known.size >= KEPT_MAX) known.delete(known.keys().next().value);
  known.set(order.id, whole);
  return whole;
}

function part({ events, notifications, payments } = {}) {
  return events ? { events } : notifications ? { notifications } : payments ? { payments } : {};
}

/** What is known of it without asking. */
export const kept = (id) => known.get(id);
