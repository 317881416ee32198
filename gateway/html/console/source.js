// What is asked for again and again, with what is known of it: the last answer, its time, and why there is no newer one.

import { get } from "./api.js";

const STALE_MS = 10_000;
const SOON_MS = 1000;

export class Source {
  constructor(name, path) {
    Object.assign(this, { name, path, value: null, at: null, fault: null, took: null, asking: null });
  }

  /** Asks, unless an answer is still awaited. */
  poll() {
    this.asking ??= this.ask().finally(() => (this.asking = null));
    return this.asking;
  }

  async ask() {
    const asked = performance.now();
    try {
      this.value = await get(this.path);
      this.at = Date.now();
      this.took = performance.now() - asked;
      this.fault = null;
    } catch (fault) {
      this.fault = fault;
    }
  }

  /** Whether what it holds says what is, not what was. */
  get isFresh() {
    return this.fault === null && this.at !== null && Date.now() - this.at < STALE_MS;
  }
}

export const sources = {
  orders: new Source("Order service", "/api/orders?limit=8"),
  outbox: new Source("Order service", "/api/orders/events/status"),
  inbox: new Source("Notification service", "/api/events/status"),
  stats: new Source("Notification service", "/api/events/stats"),
  deadEmails: new Source("Notification service", "/api/notifications?state=dead&limit=10"),
  payments: new Source("Payment service", "/api/payments/events/status"),
};

export const pollAll = () => Promise.all(Object.values(sources).map((source) => source.poll()));

/** Waits for it, but not long: whoever is silent must not keep the others from being shown. */
export const soon = (promise) => Promise.race([promise, new Promise((resolve) => setTimeout(resolve, SOON_MS))]);
