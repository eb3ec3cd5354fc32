"use strict";
// A flame graph of the call sites: outermost functions at the top, their width is what was asked for below them.
if (document.getElementById("flame")) {
  const { byId, cells, unitFor, BYTES, shown } = heapcast;
  const plot = byId("flame"), weight = byId("flame-weight"), find = byId("flame-find"), readout = byId("flame-readout");
  const ROW = 19, LEAST = 0.6, HUES = ["--hue-2", "--hue-5", "--hue-4"];
  const stacks = cells("callsites", "stack").map((stack) => stack.split(";"));
  let root, alone;

  const bytes = (value) => { const unit = unitFor(value, BYTES); return shown(value / unit.size, unit.size > 1 ? 2 : 0, unit.name); };
  const told = (value) => (weight.value.endsWith("_bytes") ? bytes(value) : shown(value, 0));

  function grow() {
    const values = cells("callsites", weight.value);
    root = { name: "everything", value: 0, children: new Map(), parent: null };
    stacks.forEach((stack, row) => {
      if (!values[row]) return;
      root.value += values[row];
      let node = root;
      for (const name of stack) {
        if (!node.children.has(name)) node.children.set(name, { name, value: 0, children: new Map(), parent: node });
        node = node.children.get(name);
        node.value += values[row];
      }
    });
    alone = root;
    draw();
  }

  // One colour per name, so that a function looks the same wherever it is called.
  const hue = (name) => HUES[[...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) >>> 0, 7) % HUES.length];

  function draw(focus) {
    const width = Math.max(300, plot.parentElement.clientWidth - 18), boxes = [];
    const path = [];
    for (let node = alone; node; node = node.parent) path.unshift(node);
    path.forEach((node, depth) => boxes.push({ node, depth, x: 0, span: width }));
    const below = (node, depth, x, scale) => {
      for (const child of [...node.children.values()].sort((one, other) => other.value - one.value)) {
        const span = child.value * scale;
        if (span >= LEAST) { boxes.push({ node: child, depth, x, span }); below(child, depth + 1, x, scale); }
        x += span;
      }
    };
    below(alone, path.length, 0, width / Math.max(1, alone.value));
    const deepest = boxes.reduce((most, { depth }) => Math.max(most, depth), 0), make = (name) => document.createElementNS(plot.namespaceURI, name);
    plot.setAttribute("viewBox", `0 0 ${width} ${(deepest + 1) * ROW}`);
    plot.style.height = `${(deepest + 1) * ROW}px`;
    const wanted = find.value.toLowerCase();
    plot.replaceChildren(...boxes.map(({ node, depth, x, span }) => {
      const group = make("g"), box = make("rect"), title = make("title");
      group.setAttribute("tabindex", "0");
      group.setAttribute("role", "button");
      const label = `${node.name}: ${told(node.value)} (${shown((node.value / Math.max(1, root.value)) * 100, 1)} %)`;
      group.setAttribute("aria-label", label);
      title.textContent = label;
      for (const [name, value] of Object.entries({ x, y: depth * ROW, width: span, height: ROW - 1 })) box.setAttribute(name, value);
      box.style.setProperty("--part", `var(${hue(node.name)})`);
      if (wanted && node.name.toLowerCase().includes(wanted)) box.setAttribute("class", "found");
      group.append(title, box);
      const letters = Math.floor((span - 6) / 6.3);
      if (letters > 2) {
        const text = make("text");
        text.setAttribute("x", x + 4);
        text.setAttribute("y", depth * ROW + 13);
        text.textContent = node.name.length > letters ? `${node.name.slice(0, letters - 1)}…` : node.name;
        group.append(text);
      }
      const show = () => { alone = node; draw(node); };
      group.addEventListener("click", show);
      group.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); show(); } });
      for (const begin of ["pointerenter", "focus"]) group.addEventListener(begin, () => { readout.textContent = label; });
      if (node === focus) setTimeout(() => group.focus());
      return group;
    }));
    readout.textContent = `${alone.name}: ${told(alone.value)}`;
  }

  byId("flame-box").hidden = false;
  weight.addEventListener("change", grow);
  find.addEventListener("input", () => draw());
  byId("flame-reset").addEventListener("click", () => { alone = root; draw(); });
  grow();
  let width = plot.parentElement.clientWidth;
  new ResizeObserver(() => { if (plot.parentElement.clientWidth !== width) { width = plot.parentElement.clientWidth; draw(); } }).observe(plot.parentElement);
}
