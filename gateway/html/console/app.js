// Starts the page: which view is shown, how often it asks, and what the top of the page says.

import { h, show } from "./dom.js";
import { orderPage } from "./order-page.js";
import { overview } from "./overview.js";
import { pollAll, soon, sources } from "./source.js";
import { faults, undecided } from "./state.js";
import { kept } from "./stories.js";
import { tokenForm } from "./token.js";

const POLL_MS = 2000;
/** While an order that was just placed is on its way. */
const HASTE_MS = 250;
const HASTE_MAX_MS = 20_000;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const main = document.getElementById("main");
let hasty = null;
const hasten = (order) => {
  hasty = { order, until: Date.now() + HASTE_MAX_MS };
  tick();
};
const home = overview(hasten); // one for all the time, with what its charts have seen
let view = null;

function route() {
  const linked = new URLSearchParams(location.search).get("order");
  if (linked && UUID.test(linked)) history.replaceState(null, "", `/#/orders/${linked}`);
  const id = /^#\/orders\/([^/]+)$/.exec(location.hash)?.[1];
  const isFirst = view === null;
  view = id ? orderPage(id, hasten) : home;
  document.title = view.title;
  main.replaceChildren(view.element);
  if (!isFirst) main.querySelector("h1").focus();
  window.scrollTo(0, 0);
  tick();
}

let timer = null;
let isBusy = false;

/** Asks, shows, and asks again after a while; not while nobody sees it. */
async function tick() {
  clearTimeout(timer);
  if (document.hidden || isBusy) return;
  isBusy = true;
  const shown = view;
  try {
    await soon(pollAll());
    await soon(shown.refresh());
    home.measured();
    alarm();
  } finally {
    isBusy = false;
    const isHasty = hasty && Date.now() < hasty.until && !kept(hasty.order)?.isSettled;
    timer = setTimeout(tick, shown !== view ? 0 : isHasty ? HASTE_MS : POLL_MS);
  }
}

const askForToken = tokenForm(sources, () => tick());

function alarm() {
  askForToken();
  const element = document.getElementById("alarm");
  const said = faults();
  element.classList.toggle("bad", said.length > 0);
  const waiting = undecided().reduce((sum, { count }) => sum + count, 0);
  show(element, [said, waiting, sources.outbox.at !== null], said.length > 0 ? sentences : quiet);
}

const sentences = ([said]) => h("ul", {}, said.map((sentence) => h("li", {}, sentence)));

function quiet([, waiting, isKnown]) {
  if (!isKnown) return "Asking";
  return h("p", {}, h("span", { class: "mark", "aria-hidden": "true" }), "All is up.",
    waiting > 0 && h("b", { class: "warn" }, ` ${waiting} ${waiting === 1 ? "waits" : "wait"} for a person, see below the charts.`));
}

function findOrder() {
  const form = document.getElementById("find");
  const input = document.getElementById("find-id");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const id = input.value.trim().toLowerCase();
    const isId = UUID.test(id);
    document.getElementById("find-fault").textContent = isId ? "" : "An order id looks like 019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10";
    if (!isId) return;
    input.value = "";
    location.hash = `#/orders/${id}`;
  });
  input.addEventListener("input", () => (document.getElementById("find-fault").textContent = ""));
}

function themeButton() {
  const button = document.getElementById("theme");
  const say = () => (button.textContent = `Theme: ${window.theme.current}`);
  button.addEventListener("click", () => {
    window.theme.next();
    say();
    document.dispatchEvent(new Event("theme"));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("theme")));
  say();
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the fragment is the route
  main.focus();
});
addEventListener("hashchange", route);
document.addEventListener("visibilitychange", tick);
findOrder();
themeButton();
route();
