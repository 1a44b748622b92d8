/* The table of contents marks the section in view and opens on small screens; numbers can be reached and read by keyboard. */
(() => {
  const button = document.getElementById("toc-button");
  const links = [...document.querySelectorAll("#toc-list a")];
  const targets = links.map((link) => document.getElementById(link.hash.slice(1)));
  const now = document.getElementById("toc-now");
  let marked = null, waiting = false;
  function mark() {
    waiting = false;
    const edge = innerHeight / 4;
    let found = 0;
    targets.forEach((target, i) => {
      if (target && target.getBoundingClientRect().top <= edge) found = i;
    });
    if (scrollY + innerHeight >= document.documentElement.scrollHeight - 2 && scrollY > 0) {
      const wanted = links.findIndex((link) => link.hash === location.hash);
      found = wanted > found ? wanted : found;
    }
    const link = links[found];
    if (link === marked) return;
    if (marked) marked.removeAttribute("aria-current");
    link.setAttribute("aria-current", "location");
    now.textContent = link.firstChild.textContent.trim();
    marked = link;
    const list = link.closest("nav");
    if (list.scrollHeight > list.clientHeight) link.scrollIntoView({ block: "nearest" });
  }
  function open(yes) {
    button.setAttribute("aria-expanded", yes);
  }
  if (button) {
    addEventListener("scroll", () => waiting || ((waiting = true), requestAnimationFrame(mark)), { passive: true });
    addEventListener("resize", mark);
    addEventListener("hashchange", mark);
    mark();
    const nav = button.closest("nav");
    button.addEventListener("click", () => open(button.getAttribute("aria-expanded") !== "true"));
    nav.addEventListener("click", (event) => event.target.closest("a") && open(false));
    nav.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && button.getAttribute("aria-expanded") === "true") {
        open(false);
        button.focus();
      }
    });
  }

  // --- one stop for the tab key in each chart; arrow keys go from number to number ---
  for (const chart of document.querySelectorAll("[data-rove]")) {
    const stops = [...chart.querySelectorAll("a, .val, .point")];
    const focus = (i) => {
      const stop = stops[Math.max(0, Math.min(stops.length - 1, i))];
      stops.forEach((each) => each.setAttribute("tabindex", each === stop ? 0 : -1));
      return stop;
    };
    if (stops.length) focus(0);
    chart.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const at = stops.indexOf(event.target.closest("a, .val, .point"));
      if (!step || at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      focus(at + step).focus();
    });
  }

  // --- what the mouse sees in a title, the keyboard and a finger see next to the number ---
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("aria-hidden", "true");
  tip.hidden = true;
  document.body.append(tip);
  function show(event) {
    const at = event.target;
    const title = at.closest("[data-rove], .view") && (at.dataset.tip || at.querySelector("title")?.textContent || at.parentElement.querySelector("title")?.textContent);
    if (!title || !at.matches(":focus-visible")) return;
    tip.textContent = title;
    tip.hidden = false;
    const box = at.getBoundingClientRect(), size = tip.getBoundingClientRect();
    const below = box.bottom + 6 + size.height < innerHeight;
    const left = Math.max(6, Math.min(innerWidth - size.width - 6, box.left));
    // The policy of the page allows no inline style, but scripts may set properties.
    tip.style.left = `${left}px`;
    tip.style.top = `${below ? box.bottom + 6 : Math.max(6, box.top - size.height - 6)}px`;
  }
  const hide = () => (tip.hidden = true);
  addEventListener("focusin", show);
  addEventListener("focusout", hide);
  addEventListener("scroll", hide, { passive: true });
  addEventListener("keydown", (event) => event.key === "Escape" && hide());

  // --- names in an icicle that do not fit ---
  function fit() {
    for (const cell of document.querySelectorAll(".icicle .c")) {
      const text = cell.querySelector("text");
      if (!text) continue;
      const whole = (text.dataset.whole = text.dataset.whole || text.textContent);
      const width = cell.querySelector("rect").getBoundingClientRect().width;
      const letters = Math.floor((width - 8) / 7.1);
      if (letters >= whole.length) {
        if (text.dataset.cut) text.textContent = whole;
        continue;
      }
      text.dataset.cut = "1";
      const name = whole.split(" ").slice(0, /^[+~Δ-] /.test(whole) ? 2 : 1).join(" ");
      text.textContent = letters >= name.length ? name : letters >= 3 ? `${name.slice(0, letters - 1)}…` : letters >= 1 && /^[+~Δ-]/.test(whole) ? whole[0] : "";
    }
  }
  if (document.querySelector(".icicle")) {
    fit();
    addEventListener("resize", fit);
  }
})();
