// Builds elements. Whatever text comes from data becomes a text node: nothing here parses HTML, and the page's policy
// (trusted types) keeps it so.

/** h("button", { class: "quiet", onclick: go }, "Go"): an element with attributes, listeners and children. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  set(element, attributes);
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

const shown = new WeakMap();

/** Shows what `build` makes of `data`, once for each change of it. The focus stays where it was, by the key of its element. */
export function show(element, data, build) {
  const seen = JSON.stringify(data);
  if (shown.get(element) === seen) return;
  shown.set(element, seen);
  const focused = element.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  element.replaceChildren(...[build(data)].flat(9).filter(Boolean));
  if (focused) element.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}
