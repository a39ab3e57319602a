// Sorts the leaderboard by the column of the pressed heading: the best first, at the second press the worst. Its tables
// keep the same order. Cells without a value come last.
const boards = [...document.querySelectorAll("table.board")];
function key(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent.trim();
  return text === "" ? null : isNaN(text) ? text : Number(text);
}
function sorted(board, column, sign) {
  const rows = [...board.tBodies[0].rows].map((row) => [key(row, column), row.dataset.row]);
  rows.sort(([a], [b]) => (a === null) - (b === null)
    || sign * (typeof a === "number" ? a - b : String(a).localeCompare(String(b))));
  return rows.map(([, row]) => row);
}
const opposite = { ascending: "descending", descending: "ascending" };
for (const board of boards) {
  [...board.tHead.rows[0].cells].forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const best = head.dataset.best;
    const order = head.getAttribute("aria-sort") === best ? opposite[best] : best;
    document.querySelectorAll("table.board th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order);
    const places = sorted(board, column, order === "ascending" ? 1 : -1);
    for (const { tBodies: [body] } of boards) {
      const rows = Object.fromEntries([...body.rows].map((row) => [row.dataset.row, row]));
      body.append(...places.map((place) => rows[place]));
    }
  }));
}

// Enlarges a picture; the arrow keys go on to the next one, Escape or a click closes it.
const enlarged = document.getElementById("enlarged");
const pictures = [...document.querySelectorAll("button.zoom")];
let shown = 0;
function enlarge(number) {
  shown = (number + pictures.length) % pictures.length;
  const small = pictures[shown].querySelector("img");
  enlarged.querySelector("figure").replaceChildren(small.cloneNode());
  enlarged.classList.toggle("points", small.closest(".points") !== null);
  enlarged.querySelector("p").textContent = small.alt;
  if (!enlarged.open) enlarged.showModal();
}
pictures.forEach((button, number) => button.addEventListener("click", () => enlarge(number)));
enlarged.addEventListener("click", () => enlarged.close());
enlarged.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step) enlarge(shown + step);
});

// On paper nothing can be opened.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => { each.open = true; }));
