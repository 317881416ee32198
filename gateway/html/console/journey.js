// The five steps of an order side by side, with the time between them.

import { h } from "./dom.js";
import { duration } from "./format.js";

const WORDS = { done: "done", waiting: "waiting", failed: "failed", undone: "taken back" };

/** As a list: one step after another, each with the time since the one that it follows. */
export function journey(milestones) {
  const at = Object.fromEntries(milestones.map((step) => [step.key, step.ms]));
  return h("ol", { class: "journey" }, milestones.map((step) => h("li", { class: `step ${step.state}` },
    h("span", { class: "name" }, step.name, h("span", { class: "hidden" }, `: ${WORDS[step.state]}`)),
    h("span", { class: "between" }, between(step, at)),
    h("span", { class: "note" }, step.note ?? ""))));
}

const FOLLOWS = { published: "committed", processed: "published", paid: "published", mailed: "processed" };

function between(step, at) {
  if (step.key === "committed") return step.state === "done" ? "0 ms" : "";
  const before = at[FOLLOWS[step.key]];
  if (step.ms === null) return step.state === "waiting" ? "waiting" : "";
  if (before === null || before === undefined) return `at ${duration(step.ms)}`;
  return step.ms < before ? `at ${duration(step.ms)}` : `+${duration(step.ms - before)}`; // the relay records a PubAck after others have read
}

/** The same as cells of a table, each with the time since the commit. */
export const cells = (milestones) => milestones.slice(1).map((step) => h("td", { class: `cell ${step.state}`, "data-label": step.name },
  h("span", { class: "mark", "aria-hidden": "true" }),
  h("span", { class: "time" }, step.ms === null ? (step.note ?? (step.state === "done" ? "done" : "waiting")) : duration(step.ms)),
  step.ms !== null && step.note && h("span", { class: "note" }, step.note)));
