// A line chart over the last minutes, by uPlot, with its values in words beside it.

import { h } from "./dom.js";
import { clock } from "./format.js";

const SPAN_S = 300;
const HEIGHT = 150;

/** One chart, at least `top` high: { element, add(seconds, values) }. A value that is not known is null, and leaves a gap. */
export function chart({ title, help, series, format, top }) {
  const values = series.map(({ name }, index) => h("li", {}, h("i", { class: `line s${index + 1}` }), `${name} `, h("b", {}, "–")));
  const time = h("span", { class: "when" });
  const plot = h("div", { class: "plot", role: "img", "aria-label": `${title}: no values yet` });
  const element = h("figure", { class: "panel chart" },
    h("figcaption", {}, h("h3", { title: help }, title), time, h("ul", { class: "legend" }, values)), plot);
  const data = [[], ...series.map(() => [])];
  let drawn = null;

  const say = (index) => {
    const said = series.map((_, number) => data[number + 1][index]).map((value) => (value === null || value === undefined ? "–" : format(value)));
    values.forEach((item, number) => (item.querySelector("b").textContent = said[number]));
    time.textContent = index < data[0].length - 1 ? clock(data[0][index] * 1000) : "";
    return series.map(({ name }, number) => `${name} ${said[number]}`).join(", ");
  };

  const draw = () => {
    drawn?.destroy();
    const width = Math.max(plot.clientWidth, 120);
    drawn = new window.uPlot(options(plot, series, width, { format, top }, () => say(drawn?.cursor.idx ?? data[0].length - 1)), data, plot);
  };
  new ResizeObserver(() => drawn && Math.abs(drawn.width - plot.clientWidth) > 1 && draw()).observe(plot);
  document.addEventListener("theme", () => drawn && draw());

  const add = (seconds, added) => {
    data[0].push(seconds);
    added.forEach((value, index) => data[index + 1].push(value));
    while (data[0][0] < seconds - SPAN_S) data.forEach((column) => column.shift());
    if (!plot.isConnected) return;
    if (drawn === null || !plot.contains(drawn.root)) draw();
    else drawn.setData(data);
    if (drawn.cursor.idx === null || drawn.cursor.idx === undefined) plot.setAttribute("aria-label", `${title}: ${say(data[0].length - 1)}`);
  };
  return { element, add };
}

function options(plot, series, width, { format, top }, moved) {
  const colour = (name) => {
    const probe = plot.appendChild(h("i", { class: name }));
    const { color } = getComputedStyle(probe);
    probe.remove();
    return color;
  };
  const axis = { stroke: colour("axis"), font: "11px system-ui, sans-serif", grid: { stroke: colour("grid"), width: 1 }, ticks: { show: false } };
  const last = (u) => u.data[0].at(-1) ?? Date.now() / 1000;
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    padding: [10, 18, 0, 0],
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { x: { time: true, range: (u) => [last(u) - SPAN_S, last(u)] }, y: { range: (_, low, high) => [0, Math.max((high ?? 0) * 1.15, top)] } },
    axes: [
      { ...axis, values: (_, ticks) => ticks.map((tick) => clock(tick * 1000).slice(0, 5)), space: 60, size: 24 },
      { ...axis, values: (_, ticks) => ticks.map((tick) => format(tick)), size: 56, space: 34 },
    ],
    series: [{}, ...series.map((_, index) => ({ stroke: colour(`s${index + 1}`), width: 1.75, points: { show: false }, spanGaps: false }))],
    hooks: { setCursor: [moved] },
  };
}
