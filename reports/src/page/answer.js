"use strict";
// Copies what there is to type.
for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code"), selection = getSelection();
    selection.selectAllChildren(code);
    // Pages opened from a file may not have the clipboard; the text is selected then.
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = document.execCommand("copy") ? "Copied" : "Selected";
    }
  });
}
