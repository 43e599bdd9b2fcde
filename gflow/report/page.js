"use strict";
const tip = document.getElementById("tip");
function say(text, x, y) {
  tip.textContent = text;
  tip.hidden = !text;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - box.width - 4)) + "px";
  tip.style.top = (y + box.height + 24 > innerHeight ? y - box.height - 12 : y + 18) + "px";
}
const number = (value) => (Math.abs(value) >= 1e6 || !Number.isInteger(value) ? Number(value.toPrecision(4)) : value);
function wire(root) {
  for (const one of root.querySelectorAll("[data-tip]")) {
    one.addEventListener("pointermove", (e) => say(one.dataset.tip, e.clientX, e.clientY));
    one.addEventListener("pointerleave", () => say("", 0, 0));
    one.addEventListener("focus", () => {
      const box = one.getBoundingClientRect();
      say(one.dataset.tip, box.left, box.bottom - 14);
    });
    one.addEventListener("blur", () => say("", 0, 0));
  }
  for (const chart of root.querySelectorAll(".chart")) {
    const lines = JSON.parse(chart.dataset.points);
    const dots = lines.map(() => {
      const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
      dot.setAttribute("class", "dot");
      dot.setAttribute("r", 3);
      dot.style.display = "none";
      chart.append(dot);
      return dot;
    });
    chart.addEventListener("pointermove", (e) => {
      const box = chart.getBoundingClientRect();
      const x = ((e.clientX - box.left) / box.width) * chart.viewBox.baseVal.width;
      const said = [];
      lines.forEach((line, k) => {
        const near = line.points.reduce((a, b) => (Math.abs(b[2] - x) < Math.abs(a[2] - x) ? b : a));
        dots[k].style.display = "";
        dots[k].setAttribute("cx", near[2]);
        dots[k].setAttribute("cy", near[3]);
        said.push((lines.length > 1 ? line.label + ", " : "") + "step " + near[0] + ": " + number(near[1]));
      });
      say(said.slice(0, 12).join("\n"), e.clientX, e.clientY);
    });
    chart.addEventListener("pointerleave", () => {
      dots.forEach((dot) => (dot.style.display = "none"));
      say("", 0, 0);
    });
  }
}
wire(document);
const value = (cell) => (cell.dataset.value === undefined ? cell.textContent.trim() : parseFloat(cell.dataset.value));
function compare(a, b) {
  const missing = (v) => v === "" || Number.isNaN(v);
  if (missing(a) || missing(b)) return 0;
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}
for (const box of document.querySelectorAll(".table")) {
  const body = box.querySelector("tbody");
  const heads = [...box.querySelectorAll("th")];
  heads.forEach((head, column) => {
    head.querySelector("button")?.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.hasAttribute("aria-sort") && other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...body.rows].map((row) => [value(row.cells[column]), row]);
      const empty = ([v]) => v === "" || Number.isNaN(v);
      rows.sort((a, b) => empty(a) - empty(b) || (up ? 1 : -1) * compare(a[0], b[0]));
      body.append(...rows.map(([, row]) => row));
    });
  });
  const field = box.querySelector("input");
  field?.addEventListener("input", () => {
    const wanted = field.value.toLowerCase();
    let left = 0;
    for (const row of body.rows) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
      left += !row.hidden;
    }
    box.querySelector(".count").textContent = wanted ? left + " of " + body.rows.length + " rows" : "";
  });
}
for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", () => {
    const text = button.parentElement.querySelector("code").textContent;
    const done = () => (button.textContent = "Copied");
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, () => (button.textContent = "Select it by hand"));
    else button.textContent = "Select it by hand";
  });
}
