"use strict";
// The small chart of the self-check as a picture, with its axes and what it shows.
heapcast.vectors.trust = () => {
  const figure = document.querySelector("[data-image=trust]"), [most, zero, last] = [...figure.querySelectorAll(".axes span")].map((each) => each.textContent);
  const soft = heapcast.colour("--soft"), paint = (path) => { const style = getComputedStyle(path); return `fill="${style.fill}" stroke="${style.stroke}" stroke-width="${style.strokeWidth}"`; };
  const paths = [...figure.querySelectorAll("path")].map((path) => `<path d="${path.getAttribute("d")}" ${paint(path)}/>`);
  const text = (x, y, words, anchor) => `<text x="${x}" y="${y}" text-anchor="${anchor}" fill="${soft}">${heapcast.escaped(words)}</text>`;
  const axis = `<path d="M0 110H600" stroke="${soft}" fill="none"/><path d="M0 0V110" stroke="${soft}" fill="none"/>`;
  const words = [text(72, 16, most, "end"), text(72, 122, zero, "end"), text(680, 140, last, "end"), text(80, 162, figure.querySelector("figcaption").textContent, "start")];
  return heapcast.svg(820, 172, `<g transform="translate(80 12)">${paths.join("")}${axis}</g>${words.join("")}`);
};
