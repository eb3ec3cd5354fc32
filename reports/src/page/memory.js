"use strict";
// The parts of a policy's resident set over time, stacked.
if (document.getElementById("memory-plot")) {
  const { byId, cells, table, bytes, time, ticks, BYTES, TIMES, colour } = heapcast;
  const plot = byId("memory-plot"), select = byId("memory-policy"), readout = byId("memory-readout");
  const WIDTH = 1000, HEIGHT = 300;
  const parts = [...document.querySelectorAll(".parts-key li")].map((item) => ({ column: item.firstElementChild.className, label: item.textContent }));
  const policies = cells("memory", "policy"), times = cells("memory", "time_ns"), rss = cells("memory", "rss_bytes");
  let rows = [], at = 0;

  // Models stand in the table one after another, and may have a library of the same name that has no parts.
  function choose() {
    rows = policies.flatMap((name, row) => (name === select.value ? [row] : []));
    draw();
    tell(rows.reduce((best, row, index) => (rss[row] > rss[rows[best]] ? index : best), 0));
  }

  const x = (row) => { const first = times[rows[0]], last = times[rows.at(-1)]; return last > first ? ((times[row] - first) / (last - first)) * WIDTH : 0; };

  function draw() {
    const most = rows.reduce((highest, row) => Math.max(highest, rss[row]), 1);
    const below = new Map(rows.map((row) => [row, 0]));
    plot.replaceChildren(...parts.map(({ column }) => {
      const values = cells("memory", column), lower = rows.map((row) => below.get(row));
      rows.forEach((row) => below.set(row, below.get(row) + values[row]));
      const y = (value) => (HEIGHT * (1 - value / most)).toFixed(1);
      // A value holds until the next moment.
      const edge = (height) => rows.flatMap((row, index) => {
        const until = index + 1 < rows.length ? x(rows[index + 1]) : WIDTH;
        return [`${x(row).toFixed(1)} ${y(height(row, index))}`, `${until.toFixed(1)} ${y(height(row, index))}`];
      });
      const path = document.createElementNS(plot.namespaceURI, "path");
      path.setAttribute("class", column);
      path.setAttribute("d", `M${edge((row) => below.get(row)).join("L")}L${edge((_, index) => lower[index]).reverse().join("L")}Z`);
      return path;
    }));
    const first = times[rows[0]], span = times[rows.at(-1)] - first;
    axis(byId("memory-ys"), ticks(most, BYTES, 4), most, "bottom");
    axis(byId("memory-xs"), ticks(span, TIMES, 6), span, "left");
    for (const { value } of ticks(most, BYTES, 4)) {
      const grid = document.createElementNS(plot.namespaceURI, "path");
      grid.setAttribute("class", "grid");
      grid.setAttribute("d", `M0 ${HEIGHT * (1 - value / most)}H${WIDTH}`);
      plot.append(grid);
    }
    const line = document.createElementNS(plot.namespaceURI, "line");
    line.setAttribute("y1", 0);
    line.setAttribute("y2", HEIGHT);
    plot.append(line);
    plot.setAttribute("aria-label", `Parts of the resident set over time, ${select.value}; highest ${bytes(most)}`);
  }

  function axis(place, marks, most, side) {
    place.replaceChildren(...marks.map(({ value, text }) => {
      const label = document.createElement("span");
      label.textContent = text;
      label.style[side] = `${(value / Math.max(1, most)) * 100}%`;
      return label;
    }));
  }

  // The same with its axes and the names of the parts.
  heapcast.vectors.memory = () => {
    const left = 70, top = 30, ink = colour("--ink"), soft = colour("--soft"), row = 18;
    const most = rows.reduce((highest, row) => Math.max(highest, rss[row]), 1), span = times[rows.at(-1)] - times[rows[0]];
    const shapes = [...plot.querySelectorAll("path:not(.grid)")];
    const areas = shapes.map((path) => `<path d="${path.getAttribute("d")}" fill="${getComputedStyle(path).fill}"/>`);
    const ys = ticks(most, BYTES, 4).map(({ value, text }) => `<text x="-8" y="${HEIGHT * (1 - value / most) + 4}" text-anchor="end" fill="${soft}">${text}</text>`);
    const xs = ticks(span, TIMES, 6).map(({ value, text }) => `<text x="${(value / Math.max(1, span)) * WIDTH}" y="${HEIGHT + 18}" text-anchor="middle" fill="${soft}">${text}</text>`);
    const names = parts.map(({ label }, index) => `<rect x="0" y="${HEIGHT + 34 + row * index}" width="12" height="12" fill="${getComputedStyle(shapes[index]).fill}"/><text x="20" y="${HEIGHT + 44 + row * index}" fill="${ink}">${heapcast.escaped(label)}</text>`);
    const title = `<text x="${left}" y="18" fill="${soft}">Resident set under ${heapcast.escaped(select.value)}</text>`;
    return heapcast.svg(WIDTH + left + 30, HEIGHT + top + 44 + row * parts.length, `${title}<g transform="translate(${left} ${top})">${[...areas, ...ys, ...xs, ...names].join("")}</g>`);
  };

  function tell(index) {
    at = Math.max(0, Math.min(rows.length - 1, index));
    const row = rows[at], line = plot.querySelector("line");
    line.setAttribute("x1", x(row));
    line.setAttribute("x2", x(row));
    const values = parts.map(({ column, label }) => ({ label, value: cells("memory", column)[row] })).filter(({ value }) => value > 0);
    readout.textContent = `At ${time(times[row])}: ${bytes(rss[row])} resident. ${values.map(({ label, value }) => `${label} ${bytes(value)}`).join(" · ")}`;
  }

  if (table("memory") && policies.length > 0) {
    byId("memory-box").hidden = false;
    select.addEventListener("change", choose);
    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect(), to = ((event.clientX - box.left) / box.width) * WIDTH;
      tell(rows.reduce((best, row, index) => (x(row) <= to ? index : best), 0));
    });
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
      if (step) { event.preventDefault(); tell(at + step); }
    });
    choose();
  }
}
