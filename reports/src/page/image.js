"use strict";
// Saves charts as PNG and SVG. A chart's figure names itself in data-image; what is drawn on a canvas is drawn again in vectors by its own section.
heapcast.vectors = {};
{
  const { root, save } = heapcast;
  const NAMESPACE = "http:" + "//www.w3.org/2000/svg";

  // Colours come from the page's styles, which the file does not have.
  function inlined(svg) {
    const copy = svg.cloneNode(true), here = [svg, ...svg.querySelectorAll("*")], there = [copy, ...copy.querySelectorAll("*")];
    here.forEach((element, index) => {
      const style = getComputedStyle(element);
      for (const name of ["fill", "stroke", "stroke-width", "stroke-dasharray", "font-size"]) there[index].setAttribute(name, style.getPropertyValue(name));
    });
    const box = svg.getBoundingClientRect();
    copy.setAttribute("width", Math.round(box.width) || 800);
    copy.setAttribute("height", Math.round(box.height) || 300);
    copy.setAttribute("xmlns", NAMESPACE);
    return new XMLSerializer().serializeToString(copy);
  }

  const vector = (figure) => {
    const svg = figure.querySelector("svg.chart");
    return svg ? inlined(svg) : heapcast.vectors[figure.dataset.image]();
  };

  async function pixels(text) {
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
    await image.decode();
    const canvas = document.createElement("canvas"), scale = 2;
    [canvas.width, canvas.height] = [image.width * scale, image.height * scale];
    const pen = canvas.getContext("2d");
    pen.fillStyle = getComputedStyle(root).getPropertyValue("--panel");
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  for (const button of document.querySelectorAll("button.image")) {
    const figure = button.closest("[data-image]"), kind = button.dataset.kind;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const canvas = figure.querySelector("canvas.chart");
      if (kind === "svg") save(`${figure.dataset.image}.svg`, vector(figure), "image/svg+xml");
      else save(`${figure.dataset.image}.png`, canvas ? await new Promise((resolve) => canvas.toBlob(resolve)) : await pixels(vector(figure)), "image/png");
    });
  }

  // Text inside of markup.
  heapcast.escaped = (text) => String(text).replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);
  heapcast.svg = (width, height, body) => `<svg xmlns="${NAMESPACE}" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">${body}</svg>`;
}
