"use strict";
// Rows of a table that are shown at first: a browser takes seconds to lay out thousands.
const FIRST = 200;
document.documentElement.classList.add("opening");

document.addEventListener("DOMContentLoaded", () => {
  const controls = document.querySelector(".controls");
  const words = document.getElementById("words");
  const state = document.getElementById("state");
  const shown = document.getElementById("shown");
  const all = document.getElementById("all");
  const tables = [...document.querySelectorAll("table.runs")];
  const rows = tables.flatMap((table) => [...table.tBodies[0].rows]);
  const places = new Map(rows.map((row, place) => [row, place]));
  const texts = new Map();
  const collator = new Intl.Collator("en", { numeric: true });
  let limit = FIRST;

  // What is no number, such as NE, stands last in both directions; of a run that failed one cell spans all headlines.
  function readKey(row, column, isNumber) {
    const cell = row.cells[column];
    const text = cell?.dataset.value ?? cell?.textContent ?? "";
    return isNumber ? Number.parseFloat(text) : text;
  }

  function compareKeys(one, other, isNumber, sign) {
    if (!isNumber) return sign * collator.compare(one, other);
    if (Number.isNaN(one) || Number.isNaN(other)) return Number.isNaN(one) - Number.isNaN(other);
    return sign * (one - other);
  }

  function sortRows(table, column, order, isNumber) {
    const body = table.tBodies[0];
    const sign = order === "descending" ? -1 : 1;
    const keyed = [...body.rows].map((row) => [readKey(row, column, isNumber), row]);
    keyed.sort((one, other) => {
      const byKey = order ? compareKeys(one[0], other[0], isNumber, sign) : 0;
      return byKey || places.get(one[1]) - places.get(other[1]);
    });
    body.append(...keyed.map((each) => each[1]));
  }

  // Ascending, descending, and as in the plan again.
  function turn(table, header, column) {
    const next = { ascending: "descending", descending: "" };
    const order = next[header.getAttribute("aria-sort")] ?? "ascending";
    for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
    if (order) header.setAttribute("aria-sort", order);
    sortRows(table, column, order, header.dataset.kind === "number");
    showRows();
  }

  function isAsked(row, asked) {
    if (state.value && row.dataset.state !== state.value) return false;
    if (asked.length && !texts.has(row)) texts.set(row, row.textContent.toLowerCase());
    return asked.every((word) => texts.get(row).includes(word));
  }

  function showRows() {
    const asked = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let fitting = 0;
    let displayed = 0;
    for (const table of tables) {
      let count = 0;
      for (const row of table.tBodies[0].rows) {
        const fits = isAsked(row, asked);
        row.hidden = !fits || count >= limit;
        count += fits;
      }
      table.closest("section").hidden = !count;
      fitting += count;
      displayed += Math.min(count, limit);
    }
    all.hidden = displayed === fitting;
    const first = all.hidden ? "" : `; the first ${displayed} are shown`;
    shown.textContent = `Runs that fit: ${fitting} of ${rows.length}${first}`;
  }

  for (const table of tables) {
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      if (header.dataset.kind === "none") return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      button.addEventListener("click", () => turn(table, header, column));
      header.append(button);
    });
  }
  words.addEventListener("input", showRows);
  state.addEventListener("change", showRows);
  all.addEventListener("click", () => {
    limit = Infinity;
    showRows();
    words.focus();
  });
  controls.hidden = false;
  showRows();
  document.documentElement.classList.remove("opening");
});
