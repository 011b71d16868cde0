"use strict";
(() => {
  const make = (tag, properties = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  };
  const read = (root) => JSON.parse(root.querySelector("script[type='application/json']").textContent);
  const text = (cell) => (cell.firstChild ? cell.firstChild.textContent : "").trim();
  const number = (cell) => parseFloat(text(cell).replace(/[,\u2009]/g, ""));

  // The table of classes: sort by any column, filter by name, failing only, support of at least n.
  const table = document.getElementById("class-table");
  if (table) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const output = table.caption.querySelector("output");
    const name = make("input", { type: "search", id: "class-filter", autocomplete: "off" });
    const support = make("input", { type: "number", id: "class-support", min: "0", value: "0" });
    const failing = make("input", { type: "checkbox", id: "class-failing" });
    const names = rows.map((row) => text(row.cells[0]).toLowerCase());
    const supports = rows.map((row) => number(row.cells[1]) || 0);
    const filter = () => {
      const wanted = name.value.trim().toLowerCase();
      const least = Number(support.value) || 0;
      let shown = 0;
      rows.forEach((row, k) => {
        const hide = !names[k].includes(wanted) || supports[k] < least
          || (failing.checked && !row.classList.contains("failing"));
        row.hidden = hide;
        shown += hide ? 0 : 1;
      });
      output.textContent = shown === rows.length ? "" : `${shown} of ${rows.length} classes shown.`;
    };
    const heads = [...table.tHead.rows[0].cells];
    const keys = [];
    heads.forEach((head, column) => {
      const button = make("button", { type: "button", textContent: head.textContent });
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const descending = head.getAttribute("aria-sort") === "ascending"
          || (!head.hasAttribute("aria-sort") && column > 0);
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", descending ? "descending" : "ascending");
        keys[column] ||= rows.map((row, k) => (column ? number(row.cells[column]) : names[k]));
        const keyed = rows.map((row, k) => [keys[column][k], k, row]);
        keyed.sort(([a, i], [b, j]) => {
          if (a === b) return i - j;
          if (Number.isNaN(a)) return Number.isNaN(b) ? i - j : 1;  // what has no value stays last
          if (Number.isNaN(b)) return -1;
          const order = column ? a - b : a < b ? -1 : 1;
          return descending ? -order : order;
        });
        body.append(...keyed.map((entry) => entry[2]));
      });
    });
    [name, support, failing].forEach((input) => input.addEventListener("input", filter));
    const controls = make("div", { className: "controls" },
      make("label", { textContent: "Find a class " }, name),
      make("label", { textContent: "Support at least " }, support));
    if (rows.some((row) => row.classList.contains("failing"))) {
      controls.append(make("label", {}, failing, " failing only"));
    }
    table.closest(".scroll").before(controls);
  }

  // The threshold explorer: everything follows from whole numbers that the page holds.
  const explorer = document.getElementById("explorer");
  if (explorer) {
    const classes = read(explorer);
    const rounded = (value, digits) => value.toLocaleString("en", {  // half to even, as the tables
      minimumFractionDigits: digits, maximumFractionDigits: digits, roundingMode: "halfEven", useGrouping: false });
    const share = (a, b) => {  // 0 and 1 only where it is exactly that
      if (!b) return "n/a";
      let digits = 4;
      while (digits < 16 && a && a !== b && [0, 1].includes(Number(rounded(a / b, digits)))) digits += 1;
      return rounded(a / b, digits);
    };
    const pick = make("select", { id: "explorer-class" });
    classes.forEach((one, k) => pick.append(make("option", { value: String(k), textContent: one.name })));
    const slider = make("input", { type: "range", id: "explorer-threshold", min: "0", step: "1" });
    const label = make("output", { id: "explorer-value" });
    const mark = make("span", { className: "soft", id: "explorer-mark" });
    const cells = {};
    const list = make("dl", { className: "square" });
    const titles = { tp: "found", fp: "false alarms", fn: "missed", tn: "rightly left alone",
      precision: "precision", recall: "recall", f1: "F1", fpr: "false positive rate", cost: "mean cost" };
    Object.entries(titles).forEach(([key, title]) => {
      cells[key] = make("dd", { id: `explorer-${key}` });
      list.append(make("div", { className: `cell-${key}` }, make("dt", { textContent: title }), cells[key]));
    });
    const show = () => {
      const one = classes[Number(pick.value)];
      const k = one.t.length - 1 - Number(slider.value);  // to the right is stricter
      const [tp, fp] = [one.tp[k], one.fp[k]];
      const [fn, tn] = [one.p - tp, one.n - fp];
      label.textContent = String(Number(one.t[k].toPrecision(9)));
      slider.setAttribute("aria-valuetext", `${one.t[k]}: ${tp} found, ${fp} false alarms`);
      mark.textContent = one.force === one.t[k] ? "in force" : "";
      const values = { tp, fp, fn, tn, precision: share(tp, tp + fp), recall: share(tp, one.p),
        f1: share(2 * tp, 2 * tp + fp + fn), fpr: share(fp, one.n) };
      if (one.cost) {
        const [a, b, c, d] = one.cost;
        values.cost = rounded((tp * a + fp * b + fn * c + tn * d) / (one.p + one.n), 4);
      }
      Object.entries(cells).forEach(([key, cell]) => {
        cell.parentElement.hidden = values[key] === undefined;
        cell.textContent = values[key] === undefined ? "" : values[key].toLocaleString("en");
      });
    };
    const reset = () => {
      const one = classes[Number(pick.value)];
      slider.max = String(one.t.length - 1);
      const near = (value) => one.t.reduce((best, t, k) => (Math.abs(t - value) < Math.abs(one.t[best] - value) ? k : best), 0);
      const at = one.force === null ? near(0.5) : one.t.indexOf(one.force);
      slider.value = String(one.t.length - 1 - at);
      show();
    };
    slider.addEventListener("input", show);
    pick.addEventListener("change", reset);
    const bar = make("div", { className: "controls" });
    if (classes.length > 1) bar.append(make("label", { textContent: "Class " }, pick));
    bar.append(make("label", { textContent: "Threshold " }, slider), label, mark);
    explorer.append(bar, list);
    explorer.hidden = false;
    reset();
  }

  // The matrix as a picture: names and count of the cell under the pointer.
  const picture = document.getElementById("matrix-picture");
  if (picture && picture.querySelector("script")) {
    const { names, cells } = read(picture);
    const counts = new Map(cells.map(([t, p, n]) => [t * names.length + p, n]));
    const output = picture.querySelector("output");
    picture.querySelector("img").addEventListener("pointermove", (event) => {
      const box = event.target.getBoundingClientRect();
      const at = (part, size) => Math.min(names.length - 1, Math.max(0, Math.floor((part / size) * names.length)));
      const p = at(event.clientX - box.left, box.width);
      const t = at(event.clientY - box.top, box.height);
      const n = counts.get(t * names.length + p);
      const times = t === p ? "right" : n === undefined ? "few or none" : String(n);
      output.textContent = `${names[t]} taken for ${names[p]}: ${times}.`;
    });
  }

  // The matrix as a table: counts, or shares of the row or column; one cell at a time by keyboard where it is dense.
  const matrix = document.getElementById("matrix-table");
  if (matrix && !matrix.classList.contains("dense")) {
    const cells = [...matrix.querySelectorAll("td")].map((cell) => [cell, cell.textContent]);
    const buttons = [["counts", null], ["% of the row", "row"], ["% of the column", "column"]].map(([title, key]) => {
      const button = make("button", { type: "button", textContent: title });
      button.setAttribute("aria-pressed", String(key === null));
      button.addEventListener("click", () => {
        buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
        cells.forEach(([cell, count]) => { cell.textContent = key ? cell.dataset[key] : count; });
      });
      return button;
    });
    matrix.closest(".scroll").before(make("div", { className: "controls" }, ...buttons));
  } else if (matrix) {
    const output = matrix.caption.querySelector("output");
    const names = [...matrix.tHead.rows[0].cells].slice(1).map(text);
    const rows = [...matrix.tBodies[0].rows];
    const tell = (cell) => {
      const row = cell.parentElement;
      output.textContent = `${text(row.cells[0])} taken for ${names[cell.cellIndex - 1]}: ${text(cell)}.`;
    };
    const move = (cell) => {
      matrix.querySelectorAll("td[tabindex]").forEach((other) => other.removeAttribute("tabindex"));
      cell.tabIndex = 0;
    };
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    move(rows[0].cells[1]);
    matrix.addEventListener("focusin", (event) => { if (event.target.cellIndex > 0) tell(event.target); });
    matrix.addEventListener("pointerover", (event) => {
      const cell = event.target.closest("td");
      if (cell) tell(cell);
    });
    matrix.addEventListener("keydown", (event) => {
      const step = steps[event.key];
      const cell = event.target.closest("td");
      if (!step || !cell) return;
      const row = rows[rows.indexOf(cell.parentElement) + step[0]];
      const next = row && row.cells[cell.cellIndex + step[1]];
      if (next && next.cellIndex > 0) { move(next); next.focus(); event.preventDefault(); }
    });
  }

  // On paper every folded part is open.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((part) => { part.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((part) => { part.open = false; }));
})();
