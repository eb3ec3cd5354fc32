"use strict";
// The address space in squares, at the moment that the slider chooses.
if (document.getElementById("map") && heapcast.data.maps.length > 0) {
  const { byId, data, bytes, time, colour } = heapcast;
  const section = byId("map"), canvas = byId("map-canvas"), select = byId("map-policy"), slider = byId("map-moment"), readout = byId("map-readout");
  const SIDE = 7, GAP = 1, STATES = ["l", "p", "f", "a"];
  const COLOURS = { l: "--hue-1", p: "--hue-6", f: "--hue-2", a: "--grid" };
  const NAMES = { l: "mostly live", p: "partly live", f: "resident and free", a: "not resident" };
  let map, places = [], columns = 1;

  const unrun = (runs) => [...runs.matchAll(/([a-z])(\d*)/g)].flatMap(([, state, times]) => Array(Number(times || 1)).fill(state));

  // A square for each cell; areas stand apart by one that is empty.
  function place() {
    columns = Math.max(1, Math.floor(canvas.parentElement.clientWidth / (SIDE + GAP)) - 2);
    places = [];
    let next = 0;
    map.areas.forEach((area, index) => {
      if (index > 0) next += 1;
      for (let cell = 0; cell < area.cells; cell++) places.push({ square: next++, address: area.start + cell * map.cell_bytes, heap: area.heap });
    });
    const height = (Math.floor((places.at(-1)?.square ?? 0) / columns) + 1) * (SIDE + GAP), ratio = devicePixelRatio || 1;
    canvas.width = columns * (SIDE + GAP) * ratio;
    canvas.height = height * ratio;
    canvas.style.width = `${columns * (SIDE + GAP)}px`;
    canvas.style.height = `${height}px`;
    canvas.getContext("2d").scale(ratio, ratio);
  }

  function draw() {
    const moment = map.moments[slider.value], cells = unrun(moment.cells), pen = canvas.getContext("2d");
    pen.clearRect(0, 0, canvas.width, canvas.height);
    for (const state of STATES) {
      pen.fillStyle = colour(COLOURS[state]);
      cells.forEach((cell, index) => {
        if (cell !== state) return;
        const { square } = places[index];
        pen.fillRect((square % columns) * (SIDE + GAP), Math.floor(square / columns) * (SIDE + GAP), SIDE, SIDE);
      });
    }
    const counts = STATES.map((state) => `${NAMES[state]} ${bytes(cells.filter((cell) => cell === state).length * map.cell_bytes)}`);
    const text = `At ${time(moment.time_ns)}, ${bytes(moment.rss_bytes)} resident in the whole process. In squares of ${bytes(map.cell_bytes)}: ${counts.join(", ")}.`;
    readout.textContent = text;
    canvas.setAttribute("aria-label", `Address space under ${select.value}. ${text}`);
    slider.setAttribute("aria-valuetext", time(moment.time_ns));
    byId("map-time").textContent = time(moment.time_ns);
  }

  const peak = () => map.moments.reduce((best, moment, index) => (moment.rss_bytes > map.moments[best].rss_bytes ? index : best), 0);

  function go(moment) {
    slider.value = moment;
    draw();
  }

  function choose() {
    map = data.maps.find((each) => each.policy === select.value);
    byId("map-cell").textContent = bytes(map.cell_bytes);
    slider.max = map.moments.length - 1;
    slider.value = peak();
    place();
    draw();
  }

  function point(event) {
    const box = canvas.getBoundingClientRect(), at = (from, to) => Math.floor((from - to) / (SIDE + GAP));
    const square = at(event.clientY, box.top) * columns + at(event.clientX, box.left), index = places.findIndex((each) => each.square === square);
    if (index < 0) { canvas.title = ""; return; }
    const { address, heap } = places[index], state = unrun(map.moments[slider.value].cells)[index];
    canvas.title = `0x${address.toString(16)}${heap ? " (program break)" : ""}: ${NAMES[state]}`;
  }

  heapcast.vectors.map = () => {
    const cells = unrun(map.moments[slider.value].cells), side = SIDE + GAP;
    const squares = cells.map((state, index) => {
      const { square } = places[index];
      return `<rect x="${(square % columns) * side}" y="${Math.floor(square / columns) * side}" width="${SIDE}" height="${SIDE}" fill="${colour(COLOURS[state])}"/>`;
    });
    return heapcast.svg(columns * side, (Math.floor(places.at(-1).square / columns) + 1) * side, squares.join(""));
  };

  select.append(...data.maps.map(({ policy }) => new Option(policy)));
  section.hidden = false;
  choose();
  select.addEventListener("change", choose);
  slider.addEventListener("input", draw);
  byId("map-peak").addEventListener("click", () => go(peak()));
  byId("map-end").addEventListener("click", () => go(map.moments.length - 1));
  canvas.addEventListener("pointermove", point);
  new ResizeObserver(() => { place(); draw(); }).observe(canvas.parentElement);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
