// The first page: how the pipeline stands, a form for an order and the newest of them, charts, and what a person has to decide.

import { charts } from "./charts.js";
import { h, show } from "./dom.js";
import { orderForm } from "./order-form.js";
import { orderTable } from "./order-table.js";
import { soon, sources } from "./source.js";
import { stages, undecided } from "./state.js";
import { journey } from "./journey.js";
import { kept, tell } from "./stories.js";

export function overview(hasten) {
  const [strip, decide, drawn, table] = [h("ul", { class: "stages" }), h("div", { class: "panel decide" }), charts(), orderTable()];
  const travel = h("div", { class: "travel", "aria-live": "polite" });
  let mine = null;
  const placed = async (order) => {
    mine = order.id;
    await sources.orders.poll();
    await refresh();
    hasten(order.id);
  };
  const element = h("div", { class: "page" },
    h("h1", { class: "hidden", tabindex: -1 }, "Order pipeline"),
    section("Pipeline", strip),
    h("div", { class: "two" }, section("Place an order", h("div", { class: "panel" }, orderForm(placed), travel)),
      section("Newest orders", h("div", { class: "panel" }, table.element))),
    section("Last five minutes", drawn.element),
    section("To decide", decide));

  const refresh = async () => {
    const orders = sources.orders.value?.orders ?? [];
    update();
    await soon(Promise.all(orders.map((order) => tell(order))));
    update();
  };
  const update = () => {
    show(strip, stages(), (all) => all.map(stage));
    table.update(sources.orders, new Map((sources.orders.value?.orders ?? []).map(({ id }) => [id, kept(id)])));
    if (kept(mine)) show(travel, [kept(mine).order, kept(mine).milestones], travelled);
    show(decide, [undecided(), sources.outbox.at !== null, sources.stats.at !== null], decisions);
  };
  update();
  return { element, refresh, title: "Order pipeline", measured: drawn.add };
}

const travelled = ([order, milestones]) => [
  h("p", {}, h("a", { href: `#/orders/${order.id}`, "data-key": "travel" }, `${order.product} × ${order.quantity}`), " on its way"), journey(milestones)];

let sections = 0;
function section(title, ...content) {
  const id = `section-${(sections += 1)}`;
  return h("section", { "aria-labelledby": id }, h("h2", { id }, title), content);
}

function stage({ name, level, word, facts, since }) {
  return h("li", { class: `panel stage ${level}${since ? " stale" : ""}` },
    h("h3", {}, name),
    h("p", { class: "state" }, h("span", { class: "mark", "aria-hidden": "true" }), word),
    h("dl", {}, facts.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", { title: value }, value)))),
    since && h("p", { class: "since" }, `as of ${since}`));
}

function decisions([kinds, hasOutbox, hasStats]) {
  if (!hasOutbox && !hasStats) return h("p", { class: "empty" }, "Reading what waits for a person");
  if (kinds.length === 0) return h("p", { class: "empty" }, h("b", {}, "Nothing waits for a person."), " Dead and held events, dead messages, stuck payments and dead emails would be here, with their reasons.");
  return h("ul", { class: "kinds" }, kinds.map(({ name, count, items, verb }) => h("li", {},
    h("h3", {}, h("b", { class: "count" }, String(count)), ` ${name}${count === 1 ? "" : "s"}`),
    h("ul", {}, items.map(item)),
    h("p", { class: "quiet" }, count > items.length && `${count - items.length} more. `, "Decide with ", h("code", {}, verb)))));
}

const item = ({ what, id, isOrder, why }) => h("li", {},
  isOrder && id ? h("a", { href: `#/orders/${id}`, "data-key": `decide-${id}` }, what) : what, h("p", { class: "reason" }, why));
