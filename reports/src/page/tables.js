"use strict";
// Saves the tables as the CSV files that stand beside the page.
{
  const { unpack, table, save } = heapcast;

  function cell(value) {
    if (value === null) return "";
    const text = String(value);
    return text === "" || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  function csv({ columns }) {
    const unpacked = columns.map(unpack);
    const lines = [columns.map((column) => column.name).join(",")];
    for (let row = 0; row < (unpacked[0]?.length ?? 0); row++) lines.push(unpacked.map((column) => cell(column[row])).join(","));
    return lines.join("\n") + "\n";
  }

  for (const button of document.querySelectorAll("button.save")) {
    button.hidden = false;
    button.addEventListener("click", () => save(`${button.dataset.table}.csv`, csv(table(button.dataset.table)), "text/csv"));
  }
}
