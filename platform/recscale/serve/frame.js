"use strict";
const page = document.getElementById("page");
const shown = document.getElementById("standing");
let before = null;
const choices = () => [...page.contentDocument.querySelectorAll("[data-control]")];
const keep = () => ({top: page.contentWindow.scrollY, chosen: choices().map((node) => [node.checked, node.value])});
const restore = (kept) => {
  choices().forEach((node, index) => {
    const [checked, value] = kept.chosen[index] || [node.checked, node.value];
    if (node.checked === checked && node.value === value) return;
    node.checked = checked;
    node.value = value;
    if (checked !== false) node.dispatchEvent(new Event("change"));
  });
  page.contentWindow.scrollTo(0, kept.top);
};
const look = async () => {
  try {
    const now = await (await fetch("state")).json();
    const key = JSON.stringify(now);
    shown.textContent = `${now.finished} finished, ${now.failed} failed, ${now.missing} missing`;
    if (before !== null && key !== before) {
      const kept = keep();
      page.addEventListener("load", () => restore(kept), {once: true});
      page.contentWindow.location.reload();
    }
    before = key;
  } catch {
    shown.textContent = "the server does not answer";
  }
};
look();
setInterval(look, 2000);
