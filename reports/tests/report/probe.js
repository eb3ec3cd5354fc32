// Uses every control of the page and compares what it saves with the files, which the test gives as FILES, on a screen of WIDTH.
const root = document.documentElement, at = (id) => document.getElementById(id), said = [];
const check = (right, what) => { if (!right) said.push(what); };
check(innerWidth === WIDTH, `the screen is ${innerWidth} wide`);
check(root.scrollWidth <= innerWidth, `the page is ${root.scrollWidth} wide in ${innerWidth}`);
const value = () => document.querySelector("#legend .value").textContent, before = value();
const key = (name) => at("plot-box").dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
// A headless page without a viewer may get no animation frames; a timer comes after uPlot's microtask all the same.
const drawn = () => new Promise((resolve) => setTimeout(resolve, 20));

// The flame graph: by mouse and keyboard, searched, with another weight.
function useFlame() {
  if (!at("flame")) return;
  const boxes = () => [...document.querySelectorAll("#flame g")], all = boxes().length;
  check(all === 6, `${all} functions are drawn`);
  const leaf = boxes().at(-1), name = leaf.getAttribute("aria-label");
  leaf.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
  check(at("flame-readout").textContent.startsWith(name.split(": ")[0]), "a function cannot be shown alone");
  at("flame-reset").click();
  check(boxes().length === all, "not all functions came back");
  at("flame-find").value = "PARSE";
  at("flame-find").dispatchEvent(new Event("input"));
  check(document.querySelectorAll("#flame rect.found").length === 1, "what is searched is not found");
  at("flame-weight").value = "faults";
  at("flame-weight").dispatchEvent(new Event("change"));
  check(boxes()[0].getAttribute("aria-label").startsWith("everything: 1,640"), boxes()[0].getAttribute("aria-label"));
}

// Each chart as a picture.
async function useImages() {
  const blobs = [], link = HTMLAnchorElement.prototype.click, real = URL.createObjectURL;
  URL.createObjectURL = (blob) => { blobs.push(blob); return "#"; };
  HTMLAnchorElement.prototype.click = () => {};
  for (const button of document.querySelectorAll("button.image")) {
    const before = blobs.length;
    button.click();
    for (let waited = 0; waited < 100 && blobs.length === before; waited++) await drawn();
    const kind = button.dataset.kind, blob = blobs.at(-1), name = button.closest("[data-image]").dataset.image;
    check(blobs.length === before + 1 && blob.size > 500, `${name} was not saved as ${kind}`);
    if (kind === "svg" && blob) {
      const parsed = new DOMParser().parseFromString(await blob.text(), "image/svg+xml");
      check(!parsed.querySelector("parsererror") && parsed.querySelectorAll("path, rect").length > 3, `${name}.svg is no picture`);
    }
  }
  [HTMLAnchorElement.prototype.click, URL.createObjectURL] = [link, real];
}

// The parts over time and the address space.
async function useMemory() {
  if (!at("memory-plot")) return;
  const told = () => at("memory-readout").textContent, first = told();
  check(document.querySelectorAll("#memory-plot path:not(.grid)").length === document.querySelectorAll(".parts-key li").length, "a part is not drawn");
  check(document.querySelectorAll("#memory-ys span").length > 1 && document.querySelectorAll("#memory-xs span").length > 1, "the parts have no axes");
  at("memory-plot").dispatchEvent(new KeyboardEvent("keydown", { key: "Home", bubbles: true, cancelable: true }));
  check(told().startsWith("At ") && told() !== first, "the keyboard does not move through the parts");
  const choices = at("memory-policy").options;
  if (choices.length > 1) {
    at("memory-policy").value = choices[1].value;
    at("memory-policy").dispatchEvent(new Event("change"));
    check(at("memory-plot").getAttribute("aria-label").includes(choices[1].value), "the other policy's parts are not drawn");
  }
  const pixels = () => at("map-canvas").toDataURL();
  const map = pixels(), said = at("map-readout").textContent;
  at("map-moment").value = 0;
  at("map-moment").dispatchEvent(new Event("input"));
  check(pixels() !== map, "the slider does not change the map");
  check(at("map-readout").textContent !== said, "the slider does not change the map's text");
  at("map-end").click();
  check(at("map-moment").value === at("map-moment").max && at("map-time").textContent === "2.31 s", "the map does not go to the end");
  at("map-peak").click();
  check(at("map-moment").value === "1" && pixels() === map, "the map does not go to the peak");
}

async function use() {
  key("ArrowLeft");
  await drawn();
  check(at("readout").textContent.startsWith("At "), "the cross-hair tells no time");
  check(value() !== before, "the cross-hair shows no value");
  for (const name of ["+", "-", "Escape"]) key(name);
  for (const id of ["zoom-in", "zoom-out", "zoom-reset"]) at(id).click();
  const first = document.querySelector("#legend button");
  first.click();
  check(first.getAttribute("aria-pressed") === "false", "the legend does not hide");
  first.dispatchEvent(new MouseEvent("click", { shiftKey: true, bubbles: true }));
  const hidden = [...document.querySelectorAll("#legend button[aria-pressed=false]")].map((each) => each.querySelector(".name").textContent);
  const pressed = () => document.querySelectorAll("#legend button[aria-pressed=true]").length;
  check(pressed() === 1, `alone are ${pressed()}`);
  first.dispatchEvent(new MouseEvent("click", { shiftKey: true, bubbles: true }));
  check(pressed() === document.querySelectorAll("#legend button").length, "not all came back");
  check(hidden.some((name) => name.startsWith("mmap-only")), "a bound that flattens the others is seen at first");
  key("ArrowLeft");
  await drawn();
  const glibc = [...document.querySelectorAll("#legend button")].find((each) => each.querySelector(".name").textContent === "glibc@2.36");
  check(/^[\d.]+ MiB \([\d.]+–[\d.]+\)$/.test(glibc.querySelector(".value").textContent), `no band: ${glibc.querySelector(".value").textContent}`);
  for (const logarithmic of [true, false]) {
    at("log").checked = logarithmic;
    for (const option of at("metric").options) {
      at("metric").value = option.value;
      at("metric").dispatchEvent(new Event("change"));
      await drawn();
      check(document.querySelectorAll("#plot canvas").length === 1, `${option.value} has no chart`);
    }
  }
  await useMemory();
  useFlame();
  await useImages();
  const made = [];
  window.Blob = class { constructor(parts) { made.push(parts.join("")); } };
  URL.createObjectURL = () => "#";
  HTMLAnchorElement.prototype.click = () => {};
  for (const button of document.querySelectorAll("button.save")) {
    button.click();
    const name = button.dataset.table;
    check(made.at(-1) === FILES[name], `${name}.csv is not the file`);
  }
  check(made.length === Object.keys(FILES).length, `${made.length} tables were saved`);
}

return use().catch((error) => said.push(String(error))).then(() => {
  check(!root.dataset.error, root.dataset.error);
  return said.join("; ");
});
