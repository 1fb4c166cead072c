"use strict";
// Sorting and filtering of a leaderboard's table.  Without this file the table is complete, by rank.
(() => {
  const table = document.querySelector("table.board");
  const form = document.querySelector("form.filters");
  if (!table || !form) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const shown = form.querySelector("output");
  form.hidden = false;

  const valueOf = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.value;
    if (text !== undefined) return text === "" ? NaN : Number(text);
    return (cell.querySelector("bdi") ?? cell).textContent.trim().toLowerCase();
  };

  // What is missing comes last in either direction; equal rows stay in the order of their ranks.
  const compare = (a, b, sign) => {
    const missingA = a === "" || Number.isNaN(a), missingB = b === "" || Number.isNaN(b);
    if (missingA || missingB) return missingA - missingB;
    if (typeof a === "number") return sign * (a < b ? -1 : a > b ? 1 : 0);
    return sign * a.localeCompare(b, "en", { numeric: true });
  };

  const sort = (column, direction) => {
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    let order = rows;
    if (column !== null) {
      heads[column].setAttribute("aria-sort", direction);
      const sign = direction === "ascending" ? 1 : -1;
      const keyed = rows.map((row, place) => [valueOf(row, column), place, row]);
      keyed.sort((a, b) => compare(a[0], b[0], sign) || a[1] - b[1]);
      order = keyed.map((one) => one[2]);
    }
    body.append(...order);
  };

  const filter = () => {
    const statuses = new Set([...form.querySelectorAll("[name=status]:checked")].map((box) => box.value));
    const training = form.elements.training?.value ?? "";
    const words = form.elements.q.value.trim().toLowerCase();
    let count = 0;
    for (const row of rows) {
      const keep = (row.dataset.status === undefined || statuses.has(row.dataset.status)) &&
        (training === "" || row.dataset.training === training) &&
        (words === "" || row.dataset.method.toLowerCase().includes(words));
      row.hidden = !keep;
      count += keep;
    }
    shown.value = count === rows.length ? `${rows.length} rows` : `${count} of ${rows.length} rows`;
  };

  // The address keeps what is chosen, so that it can be passed on.
  const remember = () => {
    const query = new URLSearchParams();
    const boxes = [...form.querySelectorAll("[name=status]")];
    if (boxes.some((box) => !box.checked)) {
      query.set("status", boxes.filter((box) => box.checked).map((box) => box.value).join(","));
    }
    for (const name of ["training", "q"]) if (form.elements[name]?.value) query.set(name, form.elements[name].value);
    const column = heads.findIndex((head) => head.hasAttribute("aria-sort"));
    if (column >= 0) query.set("sort", `${column}${heads[column].getAttribute("aria-sort") === "ascending" ? "a" : "d"}`);
    const text = query.toString();
    try {
      history.replaceState(null, "", `${location.pathname}${text && `?${text}`}${location.hash}`);
    } catch { /* pages opened as files may not change their address */ }
  };

  const recall = () => {
    const query = new URLSearchParams(location.search);
    if (query.has("status")) {
      const wanted = new Set(query.get("status").split(","));
      form.querySelectorAll("[name=status]").forEach((box) => { box.checked = wanted.has(box.value); });
    }
    const training = form.elements.training;
    if (training && [...training.options].some((one) => one.value === query.get("training"))) {
      training.value = query.get("training");
    }
    form.elements.q.value = query.get("q") ?? "";
    const [, column, way] = /^(\d+)([ad])$/.exec(query.get("sort") ?? "") ?? [];
    if (heads[column]?.querySelector("button")) sort(Number(column), way === "a" ? "ascending" : "descending");
  };

  // A row that is linked to is shown, whatever the filters say.
  const reveal = () => {
    const row = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!row || !rows.includes(row)) return;
    if (row.hidden) { form.reset(); filter(); remember(); }
    row.scrollIntoView({ block: "center" });
  };

  heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
    const first = head.dataset.first ?? "ascending";
    const now = head.getAttribute("aria-sort");
    const other = first === "ascending" ? "descending" : "ascending";
    if (now === other) sort(null); else sort(column, now === first ? other : first);
    remember();
  }));
  form.addEventListener("input", () => { filter(); remember(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", reveal);
  recall();
  filter();
  reveal();
})();
