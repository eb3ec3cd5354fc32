// Counts pixels of each curve's colour, with the curve alone and without it.
const said = [], canvas = document.querySelector("#plot canvas"), buttons = [...document.querySelectorAll("#legend button:not(:disabled)")];
const pen = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
const parts = (colour) => { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3); };
const count = (wanted) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let found = 0;
  for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 200 && wanted.every((part, index) => Math.abs(part - data[at + index]) < 12)) found += 1;
  return found;
};
// uPlot draws in a microtask; a timer comes after it.
const drawn = () => new Promise((resolve) => setTimeout(resolve));
for (const button of buttons) {
  const name = button.textContent, colour = parts(getComputedStyle(button.querySelector("line")).stroke);
  button.dispatchEvent(new MouseEvent("click", { shiftKey: true, bubbles: true }));
  await drawn();
  const alone = count(colour);
  button.click();
  await drawn();
  const without = count(colour);
  if (alone < 300 || without > alone / 10) said.push(`${name}: ${alone} pixels alone, ${without} without it`);
  button.click();
}
for (const column of document.querySelectorAll(".columns i")) if (column.offsetHeight === 0 && column.style.height !== "0%") said.push("a bar is not drawn");
return said.join("; ");
