// Whether everybody can use the page: names of controls, alternatives of pictures, contrast of text, and the order of the keyboard.
const said = [];
const check = (right, what) => { if (!right) said.push(what); };
const pen = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });

// A colour in any notation over another one, as red, green and blue.
function over(colour, below) {
  pen.fillStyle = `rgb(${below.join(" ")})`;
  pen.fillRect(0, 0, 1, 1);
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 1, 1);
  return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
}

// Relative luminance and contrast as WCAG 2.2 defines them.
const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
const luminance = (rgb) => rgb.map((part) => linear(part / 255)).reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
const contrast = (one, other) => { const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b); return (high + 0.05) / (low + 0.05); };

const lineage = (element) => { const all = []; for (let each = element; each; each = each.parentElement) all.unshift(each); return all; };
const ground = (element) => lineage(element).reduce((below, each) => over(getComputedStyle(each).backgroundColor, below), [255, 255, 255]);
const opacity = (element) => lineage(element).reduce((all, each) => all * Number(getComputedStyle(each).opacity), 1);

for (const details of document.querySelectorAll("details")) details.open = true;
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let read = 0;
for (let node = texts.nextNode(); node; node = texts.nextNode()) {
  const element = node.parentElement;
  if (!node.data.trim() || element.closest("script, style, noscript, option, .away, .skip, :disabled, [aria-pressed=false]") || !element.checkVisibility()) continue;
  const style = getComputedStyle(element), box = element.closest("#flame g")?.querySelector("rect");
  const below = box ? over(getComputedStyle(box).fill, ground(box.ownerSVGElement)) : ground(element);
  const ink = element instanceof SVGElement ? style.fill : style.color;
  check(opacity(element) === 1, `${node.data.trim().slice(0, 20)} is faded`);
  const found = contrast(over(ink, below), below);
  check(found >= 4.5, `${node.data.trim().slice(0, 20)}: contrast ${found.toFixed(2)}`);
  read += 1;
}
check(read > 200, `only ${read} texts were read`);

// Curves, parts and swatches: 3 to 1 against what is behind them.
const panel = ground(document.querySelector(".plot"));
for (let hue = 0; hue <= 7; hue++) {
  const found = contrast(over(heapcast.colour(`--hue-${hue}`), panel), panel);
  check(found >= 3, `hue ${hue}: contrast ${found.toFixed(2)}`);
}

const named = (element) => element.getAttribute("aria-label") || element.labels?.[0]?.textContent.trim() || element.textContent.trim()
  || (element.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent.trim() ?? "").join("");
for (const control of document.querySelectorAll("button, select, input, a, summary, [tabindex]")) check(named(control), `${control.outerHTML.slice(0, 60)} has no name`);
for (const picture of document.querySelectorAll("svg, canvas")) {
  const hidden = picture.closest("[aria-hidden=true]"), inside = picture.closest("[role=img]") ?? picture;
  check(hidden || inside.getAttribute("aria-label"), `${picture.outerHTML.slice(0, 60)} has no alternative`);
}
for (const section of document.querySelectorAll("section")) check(document.getElementById(section.getAttribute("aria-labelledby")), "a section has no heading");
const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
check(new Set(ids).size === ids.length, "an id stands twice");
for (const link of document.querySelectorAll("a[href^='#']")) check(document.querySelector(link.getAttribute("href")), `${link.textContent} leads nowhere`);
// The keyboard goes through the page as it is read: nothing jumps the queue.
check(!document.querySelector("[tabindex]:not([tabindex='0'], [tabindex='-1'])"), "an order of its own");
for (const table of document.querySelectorAll("thead tr")) check([...table.children].every((each) => each.textContent.trim() && each.scope === "col"), "a column has no heading");
return [...new Set(said)].join("; ");
