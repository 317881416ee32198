// The form that places an order, with the faults that the service finds beside the fields that have them.

import { idempotencyKey, post } from "./api.js";
import { h } from "./dom.js";

const FIELDS = [
  { name: "product", label: "Product", value: "Espresso machine", attributes: { type: "text", list: "products", autocomplete: "off" } },
  { name: "quantity", label: "Quantity", value: "2", attributes: { type: "number", min: 1, step: 1, inputmode: "numeric" } },
  { name: "email", label: "Email", value: "ada@example.com", attributes: { type: "email", autocomplete: "email", spellcheck: "false" } },
];

/** What the simulated provider of payments fails at, see docs/payment-provider.md. */
const PRODUCTS = [
  ["Espresso machine", "is paid for at once"], ["test-declined", "the bank says no"], ["test-slow", "is charged after five seconds"],
  ["test-lost", "the answer to the charge is lost at first"], ["test-unreachable", "the provider can't be reached at first"],
  ["test-refund-declined", "can't be given back when cancelled"],
];

export function orderForm(placed) {
  const fields = FIELDS.map((field) => input(field));
  const said = h("p", { class: "said", role: "status" });
  const button = h("button", { class: "primary", type: "submit" }, "Place order");
  const form = h("form", { class: "place", novalidate: true },
    fields.map(({ element }) => element), button, said,
    h("datalist", { id: "products" }, PRODUCTS.map(([value, label]) => h("option", { value, label }))));
  let key = idempotencyKey();
  form.addEventListener("input", () => (key = idempotencyKey())); // what was changed is another order

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    fields.forEach((field) => field.blame(""));
    said.textContent = "Placing the order";
    said.classList.remove("bad");
    try {
      const order = await post("/api/orders", read(form), { "Idempotency-Key": key });
      key = idempotencyKey();
      said.textContent = "The order is placed.";
      placed(order);
    } catch (fault) {
      said.textContent = explain(fault, fields);
      said.classList.add("bad");
      fields.find((field) => field.isBlamed())?.input.focus();
    } finally {
      button.removeAttribute("aria-disabled");
    }
  });
  return form;
}

function input({ name, label, value, attributes }) {
  const id = `order-${name}`;
  const element = h("input", { id, name, value, required: true, "aria-describedby": `${id}-fault`, ...attributes });
  const fault = h("span", { id: `${id}-fault`, class: "fault" });
  const blame = (words) => {
    fault.textContent = words;
    element.setAttribute("aria-invalid", String(words !== ""));
  };
  return {
    name, input: element, blame, isBlamed: () => fault.textContent !== "",
    element: h("div", { class: `field ${name}` }, h("label", { for: id }, label), element, fault),
  };
}

function read(form) {
  const quantity = form.elements.quantity.value;
  return { product: form.elements.product.value, quantity: quantity === "" ? null : Number(quantity), email: form.elements.email.value };
}

/** Puts what is wrong beside its field, and says the rest. */
function explain(fault, fields) {
  if (["gateway", "silent", "service"].includes(fault.kind)) return `${fault.message}. Nobody knows whether the order was placed; sent again as it is, it is placed once.`;
  let rest = [];
  for (const { pointer, detail } of fault.problem.errors ?? []) {
    const field = fields.find(({ name }) => pointer === `/${name}`);
    if (field) field.blame(`${detail.charAt(0).toUpperCase()}${detail.slice(1)}`);
    else rest = [...rest, `${pointer} ${detail}`];
  }
  return [fault.problem.errors ? fault.problem.title : fault.message, ...rest].join(": ");
}
