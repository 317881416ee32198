// One order: what it is, its whole story, and the way to cancel it.

import { get, post } from "./api.js";
import { h, show } from "./dom.js";
import { clock, duration, exact, money } from "./format.js";
import { journey } from "./journey.js";
import { tell } from "./stories.js";

export function orderPage(id, hasten) {
  const heading = h("h1", { tabindex: -1 }, "Order");
  const head = h("div", { class: "head" });
  const notice = h("p", { class: "notice", role: "status" });
  const outcome = h("p", { class: "outcome", role: "status" });
  const whole = h("div", { class: "panel" });
  const timeline = h("ol", { class: "timeline" });
  const element = h("div", { class: "page order" },
    h("p", { class: "back" }, h("a", { href: "#/" }, "← All orders")), heading, notice, outcome, head, whole, timeline);
  let told = null;

  const refresh = async () => {
    try {
      told = await tell(await get(`/api/orders/${id}`));
      notice.textContent = told.faults.length > 0 ? `${told.faults.join(". ")}. What is missing here may have happened.` : "";
    } catch (fault) {
      notice.textContent = fault.kind === "missing" ? "There is no such order." : `${fault.message}.${told ? " What you see was true before." : ""}`;
    }
    element.classList.toggle("stale", notice.textContent !== "" && told !== null);
    if (!told) return;
    heading.textContent = `${told.order.product} × ${told.order.quantity}`;
    show(head, [told.order, told.parts.payments], () => facts(told.order, told.parts.payments[0], cancel));
    show(whole, told.milestones, journey);
    show(timeline, told.entries, lines);
  };

  const cancel = async () => {
    if (!(await isConfirmed(told.order))) return;
    outcome.textContent = "Cancelling the order";
    try {
      await post(`/api/orders/${id}/cancel`);
      outcome.textContent = "The order is cancelled.";
      hasten(id);
    } catch (fault) {
      outcome.textContent = `It was not cancelled: ${fault.message}`;
    }
    await refresh();
    heading.focus();
  };
  return { element, refresh, title: "Order" };
}

function facts(order, payment, cancel) {
  const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  return [
    h("dl", { class: "facts" },
      fact("Status", h("span", { class: `tag ${order.status}` }, order.status)),
      fact("Payment", h("span", { class: `tag ${order.payment}` }, order.payment)),
      payment && fact("Amount", money(payment.amount_minor, payment.currency)),
      fact("Email", order.email ?? "erased"),
      fact("Placed", h("time", { datetime: order.created_at }, exact(order.created_at))),
      fact("Version", String(order.version)),
      fact("Id", h("code", {}, order.id))),
    order.status === "placed" && h("button", { class: "danger", type: "button", "data-key": "cancel", onclick: cancel }, "Cancel order"),
  ];
}

function lines(entries) {
  const start = entries[0]?.ms;
  return entries.map((entry, index) => {
    const before = entries[index - 1]?.ms;
    const since = entry.ms === null || index === 0 ? "" : `+${duration(entry.ms - before)}`;
    return h("li", { class: entry.state },
      h("span", { class: "when" }, entry.at ? h("time", { datetime: entry.at, title: exact(entry.at) }, clock(entry.at)) : "", h("b", {}, since)),
      h("span", { class: "mark", "aria-hidden": "true" }),
      h("span", { class: "what" }, h("b", {}, entry.what), entry.state === "waiting" && h("span", { class: "tag" }, "waiting"),
        entry.detail && h("span", { class: "detail" }, entry.detail)),
      h("span", { class: "total" }, entry.ms === null || index === 0 ? "" : duration(entry.ms - start)));
  });
}

/** Asks in a dialog, which keeps the focus inside and gives it back. */
function isConfirmed(order) {
  const dialog = document.getElementById("confirm");
  const button = (value, name, words) => h("button", { value, class: name, autofocus: value === "no" }, words);
  dialog.replaceChildren(h("form", { method: "dialog" },
    h("h2", { id: "confirm-title" }, "Cancel this order?"),
    h("p", {}, `${order.product} × ${order.quantity} for ${order.email ?? "a customer who was erased"}. What was paid is given back.`),
    h("div", { class: "buttons" }, button("no", "quiet", "Keep it"), button("yes", "danger", "Cancel order"))));
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

