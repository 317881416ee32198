// The newest orders, each with its steps.

import { h, show } from "./dom.js";
import { clock, shortId } from "./format.js";
import { cells } from "./journey.js";

const HEADS = ["Order", "Placed", "Published", "Processed", "Paid", "Mailed"];

export function orderTable() {
  const body = h("tbody");
  const empty = h("p", { class: "empty", hidden: true });
  const since = h("p", { class: "orders-since" });
  const table = h("table", { class: "orders" }, h("caption", { class: "hidden" }, "The newest orders, with the time from the commit to each step"),
    h("thead", {}, h("tr", {}, HEADS.map((head) => h("th", { scope: "col" }, head)))), body);
  const update = (source, stories) => {
    const orders = source.value?.orders ?? [];
    empty.hidden = orders.length > 0;
    table.hidden = orders.length === 0;
    empty.textContent = source.at === null ? (source.fault ? "The orders can't be read." : "Reading the orders") : "No order was placed yet. Place one with the form.";
    const isStale = !source.isFresh && source.at !== null;
    table.classList.toggle("stale", isStale);
    since.textContent = isStale ? `As of ${clock(source.at)}: the order service does not answer.` : "";
    show(body, orders.map((order) => [order, stories.get(order.id)?.milestones]), (rows) => rows.map(row));
  };
  return { element: h("div", { class: "scroll" }, since, table, empty), update };
}

function row([order, milestones]) {
  const name = h("a", { href: `#/orders/${order.id}`, "data-key": order.id, title: order.id }, order.product);
  const what = order.status === "placed" ? null : h("span", { class: `tag ${order.status}` }, order.status);
  return h("tr", {},
    h("th", { scope: "row" }, name, h("span", { class: "times" }, ` × ${order.quantity}`), what, h("code", {}, shortId(order.id))),
    h("td", { "data-label": "Placed" }, clock(order.created_at)),
    milestones ? cells(milestones) : h("td", { colspan: 4, class: "quiet" }, "reading"));
}
