"use strict";
// Folds opened at once, terms explained by touch as by mouse and keyboard, and boxes that scroll marked.
addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("folds");
  button.hidden = false;
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-pressed") === "false";
    for (const fold of document.querySelectorAll("main details")) fold.open = open;
    button.setAttribute("aria-pressed", open);
    mark();
  });

  let told = null; // the term touched last: touched again, it leads to the glossary
  addEventListener("click", (event) => {
    const term = event.target.closest("a.term");
    if (term && term !== told && event.pointerType === "touch") { event.preventDefault(); term.focus(); }
    told = term;
  });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") document.body.classList.add("told");
  });
  for (const kind of ["focusin", "mouseover"]) {
    addEventListener(kind, (event) => event.target.closest("a.term") && document.body.classList.remove("told"));
  }

  const boxes = document.querySelectorAll("main div, main pre");
  const mark = () => {
    for (const box of boxes) {
      const scrolls = box.scrollWidth > box.clientWidth + 1 && ["auto", "scroll"].includes(getComputedStyle(box).overflowX);
      box.classList.toggle("scrolls", scrolls);
      for (const [name, value] of [["tabindex", "0"], ["role", "group"], ["aria-label", "Scrolls sideways"]]) {
        if (scrolls) box.setAttribute(name, value);
        else box.removeAttribute(name);
      }
    }
  };
  mark();
  addEventListener("resize", mark);
  addEventListener("toggle", mark, true);
});
