"use strict";
{
  const valueOf = (row, column) => row.cells[column].dataset.value;

  function sortBy(table, column) {
    const heads = table.tHead.rows[0].cells;
    const ascending = heads[column].getAttribute("aria-sort") !== "ascending";
    const rows = [...table.tBodies[0].rows];
    const numeric = rows.every((row) => valueOf(row, column) !== "" && !Number.isNaN(Number(valueOf(row, column))));
    const compare = (a, b) => (numeric ? Number(a) - Number(b) : a < b ? -1 : a > b ? 1 : 0);
    const sign = ascending ? 1 : -1;
    rows.sort((a, b) => sign * compare(valueOf(a, column), valueOf(b, column)));
    table.tBodies[0].append(...rows);
    for (const head of heads) head.removeAttribute("aria-sort");
    heads[column].setAttribute("aria-sort", ascending ? "ascending" : "descending");
    document.getElementById("said").textContent =
      "sorted by " + heads[column].textContent + ", " + (ascending ? "ascending" : "descending");
  }

  function csv(table) {
    const quoted = (text) => (/[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text);
    const names = [...table.tHead.rows[0].cells].map((head) => head.dataset.name);
    const rows = [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.dataset.value));
    return [names, ...rows].map((cells) => cells.map(quoted).join(",") + "\r\n").join("");
  }

  function save(text, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  const table = document.querySelector("table[data-sortable]");
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(table, head.cellIndex));
    head.append(button);
  }
  const saveButton = document.getElementById("save");
  saveButton.addEventListener("click", () => save(csv(table), saveButton.dataset.file));
  for (const element of document.querySelectorAll("[data-needs-script]")) element.hidden = false;

  // The text of the mark that is nearest to the pointer; without a script the browser shows that of the mark below it.
  const REACH = 28; // CSS pixels
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("aria-hidden", "true");
  tip.hidden = true;
  document.body.append(tip);
  let shown = null;

  function show(mark) {
    if (mark === shown) return;
    shown?.classList.remove("near");
    shown = mark;
    tip.hidden = mark === null;
    if (mark === null) return;
    mark.classList.add("near");
    tip.textContent = mark.dataset.text;
    const at = mark.getBoundingClientRect();
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    const left = Math.max(8, Math.min(at.left + at.width / 2 - tip.offsetWidth / 2, room));
    const above = at.top - tip.offsetHeight - 8;
    tip.style.left = left + window.scrollX + "px";
    tip.style.top = (above > 4 ? above : at.bottom + 8) + window.scrollY + "px";
  }

  function nearest(plot, x, y) {
    let best = null;
    let least = REACH;
    for (const mark of plot.querySelectorAll(".mark")) {
      const box = mark.getBoundingClientRect();
      const distance = Math.hypot(box.left + box.width / 2 - x, box.top + box.height / 2 - y);
      if (box.width + box.height > 0 && distance < least) [best, least] = [mark, distance];
    }
    return best;
  }

  for (const plot of document.querySelectorAll(".plot svg")) {
    for (const mark of plot.querySelectorAll(".mark")) {
      const title = mark.querySelector("title");
      mark.dataset.text = title.textContent;
      title.remove();
    }
    for (const kind of ["pointermove", "pointerdown"]) {
      plot.addEventListener(kind, (event) => show(nearest(plot, event.clientX, event.clientY)));
    }
    plot.addEventListener("pointerleave", () => show(null));
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") show(null);
  });
}
