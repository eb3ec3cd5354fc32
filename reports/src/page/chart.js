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
  let chart = null, metric = null, unit = null, bands = null;

  const scaled = (array, size) => array.map((value) => (value === null ? null : value / size));
  const starts = data.series.map(({ start, length }) => scaled(times.slice(start, start + length), clock.size));
  const first = starts.reduce((least, each) => (each[0] < least ? each[0] : least), Infinity);
  const last = starts.reduce((most, each) => (each.at(-1) > most ? each.at(-1) : most), -Infinity);
  let raw = [], peaks = [];

  function curves(column) {
    const values = cells("timeline", column);
    unit = unitFor(highest(values), metric.bytes ? BYTES : COUNTS);
    const part = (column) => data.series.map(({ start, length }) => scaled(cells("timeline", column).slice(start, start + length), unit.size));
    raw = part(column);
    peaks = raw.map((values) => (values.some((value) => value !== null) ? highest(values) : null));
    bands = column === "rss_bytes" ? { low: part("rss_low_bytes"), high: part("rss_high_bytes") } : null;
  }

  // More points than the screen has columns are drawn by their lowest and highest in each column, so that no peak is lost.
  const EXACT = 6000, BUCKETS = 1500;

  function sampled(from, to) {
    if (times.length <= EXACT) return uPlot.join(starts.map((each, index) => [each, raw[index]]));
    const width = (to - from) / BUCKETS || 1;
    const grid = [...Array.from({ length: 2 * BUCKETS }, (_, half) => from + (half * width) / 2), to];
    return [grid, ...starts.map((each, index) => buckets(each, raw[index], from, width))];
  }

  function buckets(at, values, from, width) {
    const out = [];
    let next = 0, held = null;
    for (; next < at.length && at[next] <= from; next++) held = values[next];
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const until = from + (bucket + 1) * width;
      let low = null, high = null, fallsFirst = false;
      for (; next < at.length && at[next] < until; next++) {
        const value = values[next];
        if (value === null) continue;
        if (high === null || value > high) { high = value; fallsFirst = low !== null && low < value; }
        if (low === null || value < low) { low = value; fallsFirst = false; }
        held = value;
      }
      const ended = next >= at.length && at.at(-1) < until - width;
      if (high === null) out.push(ended ? null : held, ended ? null : held);
      else out.push(...(fallsFirst ? [low, high] : [high, low]));
    }
    // What lies exactly at the end is in no bucket.
    for (; next < at.length && at[next] <= from + BUCKETS * width * (1 + 1e-9); next++) held = values[next];
    return [...out, held];
  }

  // A curve's lowest and highest reading, as a veil behind the lines.
  function veil(u) {
    if (!bands) return;
    const pen = u.ctx, box = u.bbox, x = (value) => u.valToPos(value, "x", true), y = (value) => u.valToPos(value, "y", true);
    pen.save();
    pen.beginPath();
    pen.rect(box.left, box.top, box.width, box.height);
    pen.clip();
    pen.globalAlpha = 0.16;
    data.series.forEach(({ hue }, index) => {
      const low = bands.low[index], high = bands.high[index], at = starts[index];
      if (!visible(index) || !low.some((value, point) => value !== null && value !== high[point])) return;
      // What falls into one column of the screen is one step.
      const edge = (values, farther) => {
        const steps = [];
        at.forEach((time, point) => {
          const until = at[point + 1] ?? time;
          if (until < u.scales.x.min || time > u.scales.x.max) return;
          const left = x(time), right = x(until), value = Math.max(values[point] ?? 0, u.scales.y.min), before = steps.at(-1);
          if (before && left - before.left < 1) Object.assign(before, { right, value: farther(before.value, value) });
          else steps.push({ left, right, value });
        });
        return steps.flatMap(({ left, right, value }) => [[left, y(value)], [right, y(value)]]);
      };
      pen.fillStyle = colour(`--hue-${hue}`);
      pen.beginPath();
      for (const [px, py] of edge(low, Math.min)) pen.lineTo(px, py);
      for (const [px, py] of edge(high, Math.max).reverse()) pen.lineTo(px, py);
      pen.fill();
    });
    pen.restore();
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
    curves(metric.column);
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
      hooks: { setCursor: [tell], drawAxes: [veil] },
    }, sampled(first, last), plot);
    tell(chart);
  }

  // From the lowest to the highest reading at a time; nothing where there is one reading.
  function bandAt(index, time, decimals) {
    if (!bands) return "";
    let after = starts[index].findIndex((at) => at > time);
    if (after < 0) after = starts[index].length;
    const low = bands.low[index][after - 1], high = bands.high[index][after - 1];
    return low === null || low === undefined || low === high ? "" : ` (${shown(low, decimals)}–${shown(high, decimals)})`;
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
      const value = peaks[index] === null ? null : here ? (found === null || found === undefined ? null : values[found]) : peaks[index];
      legend[index].querySelector(".value").textContent = shown(value, decimals, unit.name) + (here && value !== null ? bandAt(index, u.data[0][at], decimals) : "");
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

  const extent = () => [first, last];

  function reset() {
    const [min, max] = extent();
    look(min, max);
  }

  function look(min, max) {
    if (times.length > EXACT) chart.setData(sampled(min, max), false);
    chart.setScale("x", { min, max });
  }

  function zoom(factor) {
    const { min, max } = chart.scales.x;
    const centre = chart.cursor.left >= 0 ? chart.posToVal(chart.cursor.left, "x") : (min + max) / 2;
    look(Math.max(first, centre - (centre - min) * factor), Math.min(last, centre + (max - centre) * factor));
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
    // Dragging has chosen its window already; more of it is to be seen now.
    plot.addEventListener("pointerup", () => setTimeout(() => look(chart.scales.x.min, chart.scales.x.max)));
    plot.addEventListener("dblclick", () => setTimeout(reset));
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

  // --- as a picture -------------------------------------------------------------------------------------------

  heapcast.vectors.timeline = () => {
    const width = 900, height = 420, left = 70, bottom = 370, top = 30, right = 880, rowHeight = 18;
    const { x: sx, y: sy } = chart.scales, line = colour("--line"), soft = colour("--soft");
    const level = (value) => (log.checked ? Math.log10(Math.max(value, sy.min)) : value);
    const x = (value) => left + ((value - sx.min) / (sx.max - sx.min || 1)) * (right - left);
    const y = (value) => bottom - ((level(value) - level(sy.min)) / (level(sy.max) - level(sy.min) || 1)) * (bottom - top);
    const ticks = [0, 1, 2, 3, 4, 5].map((part) => part / 5);
    const grid = ticks.map((part) => {
      const at = left + part * (right - left), up = bottom - part * (bottom - top);
      const value = log.checked ? 10 ** (level(sy.min) + part * (level(sy.max) - level(sy.min))) : sy.min + part * (sy.max - sy.min);
      return `<path d="M${left} ${up}H${right}M${at} ${top}V${bottom}" stroke="${line}"/>`
        + `<text x="${left - 8}" y="${up + 4}" text-anchor="end" fill="${soft}">${shown(value, 1)}</text>`
        + `<text x="${at}" y="${bottom + 18}" text-anchor="middle" fill="${soft}">${shown(sx.min + part * (sx.max - sx.min), 1)}</text>`;
    });
    let row = 0;
    const lines = data.series.map((series, index) => {
      if (!visible(index) || series.length === 0) return "";
      const stroke = `stroke="${colour(`--hue-${series.hue}`)}" stroke-width="${series.tenths / 10}" stroke-dasharray="${series.dash}" fill="none"`;
      let path = "";
      chart.data[0].forEach((time, point) => {
        const value = chart.data[index + 1][point];
        if (value === null || value === undefined || time < sx.min || time > sx.max) return;
        path += path ? `H${x(time).toFixed(1)}V${y(value).toFixed(1)}` : `M${x(time).toFixed(1)} ${y(value).toFixed(1)}`;
      });
      const at = height + 14 + rowHeight * row++;
      return `<path d="${path}" ${stroke}/><path d="M${left} ${at - 4}h30" ${stroke}/><text x="${left + 40}" y="${at}" fill="${colour("--ink")}">${heapcast.escaped(series.label)}</text>`;
    });
    const titles = `<text x="${left}" y="18" fill="${soft}">${byId("axis-y").textContent}</text><text x="${right}" y="${bottom + 38}" text-anchor="end" fill="${soft}">${byId("axis-x").textContent}</text>`;
    return heapcast.svg(width, height + 14 + rowHeight * row, grid.join("") + lines.join("") + titles);
  };

  if (times.length > 0) {
    for (const id of ["plot-box", "chart-tools", "readout", "hint"]) byId(id).hidden = false;
    // The part of the time that is shown, and all of it; for tests.
    heapcast.window = () => [chart.scales.x.min, chart.scales.x.max, first, last];
    draw();
    wireLegend();
    wireChart();
  }
}
