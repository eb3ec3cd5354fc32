"use strict";
// Draws the curves, saves the tables. Everything readable stands in the page already; this only adds to it.
(() => {
  const root = document.documentElement;
  addEventListener("error", (event) => { root.dataset.error = String(event.message); });

  const byId = (id) => document.getElementById(id);
  const page = JSON.parse(byId("data").textContent);

  // --- tables -------------------------------------------------------------------------------------------------

  // The counterpart of `Packed` in chart.rs.
  const unpackers = {
    runs: (runs) => runs.flatMap(([text, times]) => Array(times).fill(text)),
    deltas: (deltas) => { let sum = 0; return deltas.map((delta) => (delta === null ? null : (sum += delta))); },
    unknown: (rows) => Array(rows).fill(null),
    reals: (values) => values,
  };

  function unpack(column) {
    const kind = Object.keys(unpackers).find((name) => name in column);
    return (column.cells ??= unpackers[kind](column[kind]));
  }

  const table = (name) => page.tables.find((each) => each.name === name);
  const cells = (tableName, columnName) => unpack(table(tableName).columns.find((column) => column.name === columnName));

  function csvCell(value) {
    if (value === null) return "";
    const text = String(value);
    return text === "" || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  function csv({ columns }) {
    const unpacked = columns.map(unpack);
    const lines = [columns.map((column) => column.name).join(",")];
    for (let row = 0; row < (unpacked[0]?.length ?? 0); row++) lines.push(unpacked.map((column) => csvCell(column[row])).join(","));
    return lines.join("\n") + "\n";
  }

  function save(name, text, type) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  for (const button of document.querySelectorAll("button.save")) {
    button.hidden = false;
    button.addEventListener("click", () => save(`${button.dataset.table}.csv`, csv(table(button.dataset.table)), "text/csv"));
  }

  // --- units --------------------------------------------------------------------------------------------------

  const highest = (values) => values.reduce((most, value) => (value > most ? value : most), 0);
  const unitFor = (most, units) => units.find((unit) => most >= unit.size) ?? units.at(-1);
  const TIMES = [{ name: "s", size: 1e9 }, { name: "ms", size: 1e6 }, { name: "µs", size: 1e3 }];
  const BYTES = [{ name: "GiB", size: 2 ** 30 }, { name: "MiB", size: 2 ** 20 }, { name: "KiB", size: 2 ** 10 }, { name: "B", size: 1 }];
  const COUNTS = [{ name: "", size: 1 }];

  // English digits, as in the tables.
  function shown(value, decimals, unit) {
    if (value === null || value === undefined) return "–";
    const digits = value.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
    return unit ? `${digits} ${unit}` : digits;
  }

  const decimalsOf = (step) => Math.min(6, Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)));

  // --- the chart ----------------------------------------------------------------------------------------------

  const box = byId("plot-box"), plot = byId("plot"), select = byId("metric"), log = byId("log"), readout = byId("readout");
  const legend = [...byId("legend").querySelectorAll("button")];
  const times = cells("timeline", "time_ns");
  const clock = unitFor(highest(times), TIMES);
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const visible = (index) => legend[index].getAttribute("aria-pressed") === "true";
  let chart = null, metric = null, unit = null;

  function curves(column) {
    const values = cells("timeline", column);
    unit = unitFor(highest(values), metric.bytes ? BYTES : COUNTS);
    const scaled = (array, size) => array.map((value) => (value === null ? null : value / size));
    return page.series.map(({ start, length }) => [
      scaled(times.slice(start, start + length), clock.size),
      scaled(values.slice(start, start + length), unit.size),
    ]);
  }

  function line(series, index) {
    return {
      label: series.label,
      show: visible(index),
      stroke: () => colour(`--hue-${series.hue}`),
      width: series.tenths / 10,
      dash: series.dash,
      paths: uPlot.paths.stepped({ align: 1 }),
      points: { show: false },
    };
  }

  function axis(size, stepFor) {
    return {
      size,
      font: `12px ${getComputedStyle(document.body).fontFamily}`,
      stroke: () => colour("--soft"),
      grid: { stroke: () => colour("--grid"), width: 1 },
      ticks: { stroke: () => colour("--grid"), width: 1, size: 4 },
      values: (_, splits, __, ___, step) => splits.map((value) => (value === null ? "" : shown(value, decimalsOf(stepFor(value, step))))),
    };
  }

  // Zero has no logarithm: such curves start three decades below the highest value. Ticks count up from the lower end, so it is a round number.
  function roundBelow(value) {
    const decade = 10 ** Math.floor(Math.log10(value));
    return Math.floor(value / decade) * decade;
  }
  const LOGARITHMIC = { distr: 3, range: (_, least, most) => (most > 0 ? [roundBelow(least > 0 ? least : most / 1000), most * 1.1] : [1, 10]) };
  const LINEAR = { range: (_, __, most) => [0, most > 0 ? most * 1.06 : 1] };
  const dimensions = () => ({ width: plot.clientWidth, height: Math.round(Math.min(460, Math.max(260, plot.clientWidth * 0.42))) });

  function draw() {
    metric = page.metrics.find((each) => each.column === select.value);
    const data = uPlot.join(curves(metric.column));
    chart?.destroy();
    byId("axis-y").textContent = unit.name ? `${metric.label}, ${unit.name}` : metric.label;
    byId("axis-x").textContent = `Time, ${clock.name}`;
    chart = new uPlot({
      ...dimensions(),
      padding: [8, 12, 0, 0],
      legend: { show: false },
      focus: { alpha: 0.2 },
      scales: { x: { time: false }, y: log.checked ? LOGARITHMIC : LINEAR },
      // A value holds until the next sample, so the cross-hair looks back for it.
      cursor: { hover: { bias: -1, skip: [undefined] }, drag: { x: true, y: false, dist: 6 } },
      // Ticks of a logarithmic axis have no common step: each shows as many decimals as it needs itself.
      axes: [axis(34, (_, step) => step), axis(58, (value, step) => (log.checked ? value : step))],
      series: [{}, ...page.series.map(line)],
      hooks: { setCursor: [tell] },
    }, data, plot);
    tell(chart);
  }

  // Puts the values under the cross-hair, or else the highest ones, beside the names.
  function tell(u) {
    const at = u.cursor.left >= 0 ? u.cursor.idx : null;
    const here = at !== null && at !== undefined;
    const decimals = metric.bytes ? (unit.size >= 2 ** 30 ? 3 : unit.size > 1 ? 2 : 0) : 0;
    readout.textContent = here ? `At ${shown(u.data[0][at], 3, clock.name)}` : "Highest in the recording";
    page.series.forEach(({ length }, index) => {
      if (length === 0) return;
      const values = u.data[index + 1], found = u.cursor.idxs[index + 1];
      const known = values.some((value) => value !== null && value !== undefined);
      const value = !known ? null : here ? (found === null || found === undefined ? null : values[found]) : highest(values);
      legend[index].querySelector(".value").textContent = shown(value, decimals, unit.name);
    });
  }

  // --- legend -------------------------------------------------------------------------------------------------

  function show(index, on) {
    legend[index].setAttribute("aria-pressed", String(on));
    chart.setSeries(index + 1, { show: on });
  }

  function toggle(index, alone) {
    if (!alone) return show(index, !visible(index));
    const already = legend.every((button, each) => button.disabled || visible(each) === (each === index));
    chart.batch(() => legend.forEach((_, each) => show(each, already || each === index)));
  }

  function wireLegend() {
    legend.forEach((button, index) => {
      button.addEventListener("click", (event) => toggle(index, event.shiftKey));
      for (const begin of ["pointerenter", "focus"]) button.addEventListener(begin, () => chart.setSeries(index + 1, { focus: true }));
      for (const end of ["pointerleave", "blur"]) button.addEventListener(end, () => chart.setSeries(null, { focus: false }));
    });
  }

  // --- zoom and keyboard --------------------------------------------------------------------------------------

  const extent = () => [chart.data[0][0], chart.data[0].at(-1)];

  function reset() {
    const [min, max] = extent();
    chart.setScale("x", { min, max });
  }

  function zoom(factor) {
    const { min, max } = chart.scales.x, [first, last] = extent();
    const centre = chart.cursor.left >= 0 ? chart.posToVal(chart.cursor.left, "x") : (min + max) / 2;
    chart.setScale("x", { min: Math.max(first, centre - (centre - min) * factor), max: Math.min(last, centre + (max - centre) * factor) });
  }

  function step(pixels) {
    const width = chart.over.clientWidth, from = chart.cursor.left >= 0 ? chart.cursor.left : width / 2;
    chart.setCursor({ left: Math.min(width - 1, Math.max(0, from + pixels)), top: chart.over.clientHeight / 2 });
  }

  const KEYS = {
    ArrowLeft: () => step(-8), ArrowRight: () => step(8), "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), Escape: reset,
  };

  function wireChart() {
    byId("zoom-in").addEventListener("click", () => zoom(0.5));
    byId("zoom-out").addEventListener("click", () => zoom(2));
    byId("zoom-reset").addEventListener("click", reset);
    for (const choice of [select, log]) choice.addEventListener("change", draw);
    box.addEventListener("keydown", (event) => {
      const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : KEYS[event.key];
      if (act) { event.preventDefault(); act(); }
    });
    new ResizeObserver(() => { if (plot.clientWidth !== chart.width) chart.setSize(dimensions()); }).observe(plot);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    addEventListener("beforeprint", () => chart.setSize({ width: 680, height: 300 }));
    addEventListener("afterprint", () => chart.setSize(dimensions()));
  }

  if (times.length > 0) {
    for (const id of ["plot-box", "chart-tools", "readout", "hint"]) byId(id).hidden = false;
    draw();
    wireLegend();
    wireChart();
  }
  root.dataset.ready = "1";
})();
