/* The layer table comes alive: fold, search, sort, switch units, copy. The page reads without it. */
(() => {
  const table = document.getElementById("tree");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const data = JSON.parse(document.getElementById("tree-data").textContent); // [depth, gathers, params b/a, FLOPs b/a, bytes b/a]
  const find = (id) => document.getElementById(id);
  const search = find("tree-search"), only = find("tree-only"), flat = find("tree-flat"), status = find("tree-status");
  const costs = find("tree-costs"), sizes = find("tree-sizes");
  const first = Number(table.dataset.first); // the cell that figures begin at
  const compared = table.dataset.compared === "1";
  const places = new Map(rows.map((row, i) => [row.id, i]));
  const paths = rows.map((row) => row.id.replace(/^layers?-(before-)?/, ""));
  const names = rows.map((row) => row.cells[0].querySelector("a").textContent);
  const depths = data.map((each) => each[0]);
  const changed = rows.map((row) => /\b(added|removed|changed)\b/.test(row.className));
  const shownFirst = rows.map((row) => !row.classList.contains("z"));
  const parents = [], children = rows.map(() => []), roots = [];
  const opened = rows.map(() => false);
  {
    const open = [];
    depths.forEach((depth, i) => {
      open.length = depth;
      const parent = depth ? open[depth - 1] : -1;
      parents.push(parent);
      (parent < 0 ? roots : children[parent]).push(i);
      open[depth] = i;
      if (parent >= 0 && shownFirst[i]) opened[parent] = true;
    });
  }
  const text = rows.map((row, i) => (paths[i] + " " + row.cells[1].textContent).toLowerCase());
  let order = rows.map((_, i) => i), sorted = null, beforeSearch = null, shown = shownFirst, current = 0;

  // --- what is shown ---
  const isLeaf = (i) => !children[i].length;
  function refresh() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const match = rows.map((_, i) => (!only || !only.checked || changed[i]) && words.every((word) => text[i].includes(word)));
    const filtered = words.length || (only && only.checked);
    const keep = match.slice();
    if (!flat.checked && filtered)
      for (let i = rows.length - 1; i >= 0; i--) if (keep[i] && parents[i] >= 0) keep[parents[i]] = true;
    const next = rows.map(() => false);
    for (let i = 0; i < rows.length; i++) {
      const parent = parents[i];
      next[i] = flat.checked ? match[i] && isLeaf(i) : keep[i] && (parent < 0 || (next[parent] && opened[parent]));
    }
    rows.forEach((row, i) => {
      if (next[i] !== shown[i] || row.classList.contains("z") === next[i]) row.classList.toggle("z", !next[i]);
      if (!isLeaf(i)) row.setAttribute("aria-expanded", !flat.checked && opened[i]);
    });
    shown = next;
    const found = match.filter((each, i) => each && !(flat.checked && !isLeaf(i))).length;
    status.textContent = filtered
      ? `${found.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows match`
      : `${next.filter(Boolean).length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows shown`;
  }
  function openAbove(i) {
    for (let above = parents[i]; above >= 0; above = parents[above]) opened[above] = true;
  }
  function filter() {
    const active = search.value.trim() || (only && only.checked);
    if (active) {
      beforeSearch = beforeSearch || opened.slice();
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      rows.forEach((_, i) => {
        if ((!only || !only.checked || changed[i]) && words.every((word) => text[i].includes(word))) openAbove(i);
      });
    } else if (beforeSearch) {
      beforeSearch.forEach((each, i) => (opened[i] = each));
      beforeSearch = null;
    }
    refresh();
  }
  function toggle(i, open = !opened[i]) {
    if (isLeaf(i) || flat.checked) return;
    opened[i] = open;
    refresh();
  }
  function flatten() {
    table.classList.toggle("flat", flat.checked);
    rows.forEach((row, i) => (row.cells[0].querySelector("a").textContent = flat.checked ? paths[i] : names[i]));
    refresh();
  }

  // --- order ---
  const columns = [];
  const value = (i, at) => (data[i][at] === null || data[i][at] === undefined ? null : Number(data[i][at]));
  function key(i, column) {
    if (column.text) return column.text(i);
    const [one, other] = [value(i, column.at), value(i, column.at + 1)];
    return column.part === "delta" ? Math.abs((other || 0) - (one || 0)) : column.part ? other : one;
  }
  function compare(column, sign) {
    return (a, b) => {
      const x = key(a, column), y = key(b, column);
      if (x === y) return a - b;
      if (x === null || y === null) return x === null ? 1 : -1;
      return (x < y ? -1 : 1) * sign || a - b;
    };
  }
  function reorder() {
    const by = sorted && compare(sorted.column, sorted.sign);
    if (by && flat.checked) order = rows.map((_, i) => i).sort(by);
    else {
      order = [];
      const arrange = (group) => (by ? [...group].sort(by) : group).slice().reverse();
      const pending = arrange(roots);
      while (pending.length) {
        const i = pending.pop();
        order.push(i);
        for (const each of arrange(children[i])) pending.push(each);
      }
    }
    const parts = document.createDocumentFragment();
    for (const i of order) parts.append(rows[i]);
    body.append(parts);
  }
  function sort(column) {
    const start = column.text ? 1 : -1;
    if (!sorted || sorted.column !== column) sorted = { column, sign: start };
    else sorted = sorted.sign === start ? { column, sign: -start } : null;
    for (const each of columns) each.heading.removeAttribute("aria-sort");
    if (sorted) column.heading.setAttribute("aria-sort", sorted.sign > 0 ? "ascending" : "descending");
    reorder();
  }
  function addSort(heading, column) {
    if (!heading) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    column.heading = heading;
    columns.push(column);
    button.addEventListener("click", () => sort(column));
  }
  const heads = [...table.tHead.querySelectorAll("th")];
  const byKey = (name) => heads.filter((each) => each.dataset.sort === name);
  addSort(byKey("path")[0], { text: (i) => paths[i] });
  addSort(byKey("type")[0], { text: (i) => rows[i].cells[1].textContent });
  for (const [name, at] of [["params", 2], ["flops", 4]])
    byKey(name).forEach((heading, part) => addSort(heading, { at, part: ["", "after", "delta"][part] }));

  // --- units ---
  const group = (n) => n.toString().replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  function exact(n) {
    return n < 0n ? "-" + group(-n) : group(n);
  }
  function short(n, bytes) {
    const steps = bytes
      ? [[2 ** 40, " TiB"], [2 ** 30, " GiB"], [2 ** 20, " MiB"], [2 ** 10, " KiB"]]
      : [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "K"]];
    const size = Math.abs(Number(n));
    for (const [step, letter] of steps)
      if (size >= step * 0.9995) {
        const scaled = Number(n) / step, most = Math.abs(scaled);
        return scaled.toFixed(most < 9.995 ? 2 : most < 99.95 ? 1 : 0) + letter;
      }
    return exact(n) + (bytes ? (size === 1 ? " byte" : " bytes") : "");
  }
  const signed = (n, write) => (n > 0n ? "+" : "") + write(n);
  const original = new Map();
  function write(cell, n, form, sign) {
    if (!original.has(cell)) original.set(cell, [cell.textContent, cell.title]);
    const [was] = original.get(cell);
    if (n === null || was === "?") return;
    const least = was.startsWith("≥ ") ? "≥ " : "";
    const shape = form === "exact" ? exact : (each) => short(each, form === "bytes");
    cell.textContent = least + (sign ? signed(n, shape) : shape(n));
    cell.title = least + (sign ? signed(n, exact) : exact(n));
  }
  function restore(cell) {
    if (!original.has(cell)) return;
    [cell.textContent, cell.title] = original.get(cell);
  }
  const big = (n) => (n === null || n === undefined ? null : BigInt(n));
  function switchUnit(name, label, start, at, convert, form) {
    const wide = compared ? 3 : 1;
    const heading = heads.find((each) => each.dataset.group === name);
    (heading.querySelector("button") || heading).textContent = label;
    rows.forEach((row, i) => {
      const sides = [big(data[i][at]), big(data[i][at + 1])].map((n, side) => (n === null ? null : convert(n, i, side)));
      const delta = (sides[1] || 0n) - (sides[0] || 0n);
      for (let part = 0; part < wide; part++) {
        const cell = row.cells[start + part];
        if (!form) restore(cell);
        else write(cell, part === 2 ? delta : sides[part], form, part === 2);
      }
    });
  }
  const width = compared ? 3 : 1;
  costs.addEventListener("change", () => {
    const macs = costs.value === "macs";
    switchUnit("flops", macs ? "MACs" : "FLOPs", first + width, 4, (n) => n / 2n, macs && "short");
  });
  sizes.addEventListener("change", () => {
    const bytes = sizes.value === "bytes";
    const read = (n, i, side) => (data[i].length > 6 ? big(data[i][6 + side]) : n * 4n);
    switchUnit("params", bytes ? "Parameter bytes" : "Parameters", first, 2, read, bytes && "bytes");
  });

  // --- copy ---
  const quote = (each) => (/[",\n\r]/.test(each) ? `"${each.replace(/"/g, '""')}"` : each);
  // A cell that a spreadsheet would take for a formula is made text.
  const plain = (each) => quote(/^[\s]*[=+\-@\t\r|%]/.test(each) ? `'${each}` : each);
  const number = (n) => (n === null || n === undefined ? "" : BigInt(n).toString());
  function toCsv() {
    const sides = compared ? ["before", "after"] : [""];
    const head = ["path", "kind", "type", ...(compared ? ["what changed"] : []), "output"];
    for (const each of ["params", "param_bytes", "flops", "macs"]) for (const side of sides) head.push(side ? `${each} ${side}` : each);
    const lines = [head.map(plain).join(",")];
    for (const i of order) {
      if (!shown[i] || data[i][1]) continue;
      const cells = [...rows[i].cells].slice(1, first).map((cell) => plain(cell.innerText.replace(/\s+/g, " ").trim()));
      const kind = (/\b(added|removed|changed|cost)\b/.exec(rows[i].className) || [""])[0];
      const bytes = (side) => (data[i].length > 6 ? data[i][6 + side] : data[i][2 + side] === null ? null : big(data[i][2 + side]) * 4n);
      const half = (side) => (data[i][4 + side] === null ? null : big(data[i][4 + side]) / 2n);
      const numbers = [(s) => data[i][2 + s], bytes, (s) => data[i][4 + s], half].flatMap((read) => sides.map((_, s) => number(read(s))));
      lines.push([plain(paths[i]), kind, ...cells, ...numbers].join(","));
    }
    return lines.join("\r\n") + "\r\n";
  }
  async function copy() {
    const csv = toCsv();
    try {
      await navigator.clipboard.writeText(csv);
    } catch {
      const area = document.createElement("textarea"); // where the clipboard is not ours to write
      area.value = csv;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    status.textContent = `${(csv.split("\r\n").length - 2).toLocaleString("en")} rows copied as CSV`;
  }

  // --- keys, links, buttons ---
  function focus(i) {
    rows[current].tabIndex = -1;
    current = i;
    rows[i].tabIndex = 0;
    rows[i].focus();
  }
  function step(direction) {
    let row = direction > 0 ? rows[current].nextElementSibling : rows[current].previousElementSibling;
    while (row && row.classList.contains("z")) row = direction > 0 ? row.nextElementSibling : row.previousElementSibling;
    if (row) focus(places.get(row.id));
  }
  const keys = {
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    ArrowRight: () => (isLeaf(current) || flat.checked ? null : opened[current] ? step(1) : toggle(current, true)),
    ArrowLeft: () => (!isLeaf(current) && opened[current] && !flat.checked ? toggle(current, false) : parents[current] >= 0 && focus(parents[current])),
    Enter: () => (location.hash = rows[current].id),
    " ": () => toggle(current),
  };
  body.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey || event.target.tagName !== "TR") return;
    event.preventDefault();
    keys[event.key]();
  });
  body.addEventListener("focusin", (event) => {
    if (event.target.tagName === "TR") current = places.get(event.target.id);
  });
  body.addEventListener("click", (event) => {
    const head = event.target.closest("th");
    if (head) toggle(places.get(head.parentElement.id));
  });
  function reveal() {
    let id = location.hash.slice(1);
    try {
      id = decodeURIComponent(id);
    } catch {} // a fragment that nobody encoded means itself
    const i = places.get(id);
    if (i === undefined) return;
    const at = shown[i] && document.readyState === "complete" ? "nearest" : "center";
    openAbove(i);
    if (!shown[i]) refresh();
    if (!shown[i]) {
      search.value = "";
      if (only) only.checked = false;
      flat.checked = false;
      flatten();
    }
    rows[i].scrollIntoView({ block: at });
  }
  function setAll(open) {
    rows.forEach((_, i) => (opened[i] = open));
    refresh();
  }
  let timer = 0;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(filter, rows.length > 1000 ? 120 : 0);
  });
  if (only) only.addEventListener("change", filter);
  flat.addEventListener("change", () => {
    flatten();
    if (sorted) reorder();
  });
  find("tree-open").addEventListener("click", () => setAll(true));
  find("tree-close").addEventListener("click", () => {
    setAll(false);
    for (const i of roots) toggle(i, true);
  });
  find("tree-copy").addEventListener("click", copy);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) return;
    event.preventDefault();
    search.focus();
  });
  table.setAttribute("role", "treegrid");
  rows.forEach((row, i) => {
    row.setAttribute("aria-level", depths[i] + 1);
    row.tabIndex = i ? -1 : 0;
    row.cells[0].querySelector("a").tabIndex = -1;
  });
  refresh();
  addEventListener("hashchange", reveal);
  reveal();
})();
