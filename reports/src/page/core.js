"use strict";
// What every section of the page shares. Everything readable stands in the page already; scripts only add to it.
const heapcast = (() => {
  const root = document.documentElement;
  addEventListener("error", (event) => { root.dataset.error = String(event.message); });

  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);

  // The counterpart of `Packed` in chart.rs.
  const unpackers = {
    runs: (runs) => runs.flatMap(([text, times]) => Array(times).fill(text)),
    deltas: (deltas, unit) => { let sum = 0; return deltas.map((delta) => (delta === null ? null : (sum += delta) * unit)); },
    unknown: (rows) => Array(rows).fill(null),
    reals: (values) => values,
  };

  function unpack(column) {
    const kind = Object.keys(unpackers).find((name) => name in column);
    return (column.cells ??= unpackers[kind](column[kind], column.unit ?? 1));
  }

  const table = (name) => data.tables.find((each) => each.name === name);
  const cells = (tableName, columnName) => unpack(table(tableName).columns.find((column) => column.name === columnName));

  function save(name, content, type) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

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

  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  const bytes = (value) => { const unit = unitFor(value, BYTES); return shown(value / unit.size, unit.size > 1 ? 2 : 0, unit.name); };
  const time = (value) => { const unit = unitFor(value, TIMES); return shown(value / unit.size, unit.size > 1e6 ? 2 : 1, unit.name); };

  // Round steps from zero to a value, about as many as asked for: 1, 2 or 5 times a power of ten (of the unit).
  function ticks(most, units, many) {
    const unit = unitFor(most, units), size = unit.size, power = 10 ** Math.floor(Math.log10(most / size / many));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => most / size / each <= many) ?? most / size;
    const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    const count = Math.floor(most / size / step + 1e-9);
    return Array.from({ length: count + 1 }, (_, index) => ({ value: index * step * size, text: shown(index * step, decimals, index === 0 ? "" : unit.name) }));
  }

  return { bytes, time, ticks, root, byId, data, unpack, table, cells, save, highest, unitFor, TIMES, BYTES, COUNTS, shown, colour };
})();
