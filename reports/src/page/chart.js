"use strict";
// The curves over time.
{
  const { byId, data, cells, highest, unitFor, TIMES, BYTES, COUNTS, shown, colour } = heapcast;

  const decimalsOf = (step) => Math.min(6, Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)));

  // --- the chart ----------------------------------------------------------------------------------------------

  const box = byId("plot-box"), plot = byId("plot"), select = byId("metric"), log = byId("log"), readout = byId("readout");
  const legend = [...byId("legend").querySelectorAll("button")];
  const times = cells("timeline", "time_ns");
  const clock = unitFor(highest(times), TIMES);
  const visible = (index) => legend[index].getAttribute("aria-pressed") === "true";
  let chart = null, metric = null, unit = null;

  function curves(column) {
    const values = cells("timeline", column);
    unit = unitFor(highest(values), metric.bytes ? BYTES : COUNTS);
    const scaled = (array, size) => array.map((value) => (value === null ? null : value / size));
    return data.series.map(({ start, length }) => [
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
    metric = data.metrics.find((each) => each.column === select.value);
    const joined = uPlot.join(curves(metric.column));
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
      series: [{}, ...data.series.map(line)],
      hooks: { setCursor: [tell] },
    }, joined, plot);
    tell(chart);
  }

  // Puts the values under the cross-hair, or else the highest ones, beside the names.
  function tell(u) {
    const at = u.cursor.left >= 0 ? u.cursor.idx : null;
    const here = at !== null && at !== undefined;
    const decimals = metric.bytes ? (unit.size >= 2 ** 30 ? 3 : unit.size > 1 ? 2 : 0) : 0;
    readout.textContent = here ? `At ${shown(u.data[0][at], 3, clock.name)}` : "Highest in the recording";
    data.series.forEach(({ length }, index) => {
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
}
