/* The diagrams zoom, pan, and open boxes in place. Without this they are whole, as they were laid out. */
(() => {
  const PAD = 8, LEAST = 0.1, MOST = 4;

  // --- layout: an opened box pushes everything below it down, and everything right of it to the right ---
  function stretch(bands) {
    const merged = [];
    for (const [from, to, extra] of bands.sort((a, b) => a[0] - b[0])) {
      const last = merged[merged.length - 1];
      if (last && from < last[1]) {
        last[1] = Math.max(last[1], to);
        last[2] = Math.max(last[2], extra);
      } else merged.push([from, to, extra]);
    }
    return (v) => {
      let moved = v;
      for (const [from, to, extra] of merged) moved += extra * Math.max(0, Math.min(1, (v - from) / (to - from)));
      return moved;
    };
  }
  const numbers = (text) => (text.match(/-?\d+(\.\d+)?/g) || []).map(Number);
  const pairs = (list) => list.flatMap((_, i) => (i % 2 ? [] : [[list[i], list[i + 1]]]));
  const write = (points) => points.map(([x, y]) => `${Math.round(x * 10) / 10},${Math.round(y * 10) / 10}`).join(" ");

  function read(group, width, height, base, view) {
    const stage = { group, width, height, base, boxes: [], edges: [] };
    for (const el of group.children) {
      if (el.classList.contains("n")) {
        const rect = el.querySelector("rect");
        const [x, y, w, h] = ["x", "y", "width", "height"].map((name) => Number(rect.getAttribute(name)));
        const box = { el, rect, x, y, w, h, open: false, stage: null, parts: [...el.querySelectorAll("text, rect")].slice(1) };
        const link = el.querySelector("a");
        box.anchor = link && link.getAttribute("href") ? link.getAttribute("href").slice(1) : "";
        if (link && !box.anchor && el.dataset.path) {
          const path = base === "layer-" ? base + el.dataset.path : `${base}.${el.dataset.path}`;
          const known = [path, path.replace("layer-", "layer-before-")].find((each) => document.getElementById(each));
          box.anchor = path;
          if (known) link.setAttribute("href", `#${known}`);
        }
        stage.boxes.push(box);
        if (el.dataset.in && document.getElementById(`inside-${el.dataset.in}`)) addButton(box, stage, view);
      } else if (el.classList.contains("e")) {
        const [source, target] = numbers(el.dataset.e);
        const path = el.querySelector("path"), head = el.querySelector("polygon");
        const edge = { path, head, source, target, points: pairs(numbers(path.getAttribute("d"))), tip: pairs(numbers(head.getAttribute("points"))) };
        stage.edges.push(edge);
      }
    }
    return stage;
  }

  function lay(stage) {
    for (const box of stage.boxes) {
      if (box.open) lay(box.stage);
      box.W = box.open ? Math.max(box.w, box.stage.W + 2 * PAD) : box.w;
      box.H = box.open ? box.h + box.stage.H + PAD : box.h;
    }
    const grown = stage.boxes.filter((box) => box.open);
    const mapX = stretch(grown.map((box) => [box.x, box.x + box.w, box.W - box.w]));
    const mapY = stretch(grown.map((box) => [box.y, box.y + box.h, box.H - box.h]));
    for (const box of stage.boxes) {
      const within = (low, high, size, middle) => Math.max(low, Math.min(high - size, middle - size / 2));
      box.X = within(mapX(box.x), mapX(box.x + box.w), box.W, mapX(box.x + box.w / 2));
      box.Y = within(mapY(box.y), mapY(box.y + box.h), box.H, mapY(box.y + box.h / 2));
      box.el.setAttribute("transform", `translate(${box.X - box.x} ${box.Y - box.y})`);
      box.rect.setAttribute("width", box.W);
      box.rect.setAttribute("height", box.H);
      for (const part of box.parts) part.setAttribute("transform", `translate(${(box.W - box.w) / 2} 0)`);
      if (box.button) box.button.setAttribute("transform", `translate(${box.x + box.W - 13} ${box.y + 13})`);
      if (box.open) box.stage.group.setAttribute("transform", `translate(${box.x + (box.W - box.stage.W) / 2} ${box.y + box.h})`);
    }
    for (const edge of stage.edges) {
      const source = stage.boxes[edge.source], target = stage.boxes[edge.target];
      const moved = edge.points.map(([x, y]) => [mapX(x), mapY(y)]);
      const place = (box, [x, y]) => [box.X + box.W / 2 + Math.max(-box.w / 2, Math.min(box.w / 2, x - box.x - box.w / 2)), y > box.y + box.h / 2 ? box.Y + box.H : box.Y];
      const from = place(source, edge.points[0]), tip = place(target, edge.tip[0]);
      const last = edge.points[edge.points.length - 1];
      const to = [tip[0] + last[0] - edge.tip[0][0], tip[1] + last[1] - edge.tip[0][1]];
      const near = ([x, y], [u, v]) => Math.abs(x - u) + Math.abs(y - v) < 0.6;
      const start = moved[0], end = moved[moved.length - 1];
      const begin = near(start, from) ? `M${write([from])}` : `M${write([from])}L${write([start])}`;
      edge.path.setAttribute("d", `${begin}C${write(moved.slice(1))}${near(end, to) ? "" : `L${write([to])}`}`);
      edge.head.setAttribute("points", write(edge.tip.map(([x, y]) => [x + tip[0] - edge.tip[0][0], y + tip[1] - edge.tip[0][1]])));
    }
    stage.W = mapX(stage.width);
    stage.H = mapY(stage.height);
  }

  // --- opening ---
  function make(name, attributes, parent) {
    const made = document.createElementNS(parent.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    parent.append(made);
    return made;
  }
  function addButton(box, stage, view) {
    const name = box.el.querySelector("title").textContent.split(",")[0];
    const button = make("g", { class: "open", role: "button", tabindex: 0, "aria-expanded": "false", "aria-label": `Open ${name}` }, box.el);
    button.setAttribute("transform", `translate(${box.x + box.w - 13} ${box.y + 13})`);
    make("circle", { r: 9 }, button);
    make("path", { d: "M-4.5 0H4.5M0 -4.5V4.5" }, button);
    box.button = button;
    const act = (event) => {
      event.preventDefault();
      event.stopPropagation();
      if (!view.dragged) toggle(box, stage, view);
    };
    button.addEventListener("click", act);
    button.addEventListener("keydown", (event) => (event.key === "Enter" || event.key === " ") && act(event));
  }
  function toggle(box, stage, view) {
    if (!box.stage) {
      const group = document.importNode(document.getElementById(`inside-${box.el.dataset.in}`).content, true).querySelector(".stage");
      const base = box.el.dataset.path ? box.anchor : stage.base; // the layers of a run have names like the run
      box.stage = read(group, ...numbers(group.dataset.size), base, view);
    }
    box.open = !box.open;
    if (box.open) box.el.append(box.stage.group);
    else box.stage.group.remove();
    box.el.classList.toggle("opened", box.open);
    box.button.setAttribute("aria-expanded", box.open);
    box.button.querySelector("path").setAttribute("d", box.open ? "M-4.5 0H4.5" : "M-4.5 0H4.5M0 -4.5V4.5");
    const before = box.button.getBoundingClientRect();
    lay(view.stage);
    view.resize();
    const after = box.button.getBoundingClientRect();
    view.x += (after.left - before.left) / view.scale;
    view.y += (after.top - before.top) / view.scale;
    view.draw();
  }

  // --- the view ---
  function start(port) {
    const svg = port.querySelector("svg");
    const figure = port.closest("figure");
    const view = { x: 0, y: 0, scale: 1, dragged: false };
    view.stage = read(svg.querySelector(".stage"), Number(svg.getAttribute("width")), Number(svg.getAttribute("height")), "layer-", view);
    svg.removeAttribute("width");
    svg.removeAttribute("height");
    const isLarge = () => figure.classList.contains("large");
    view.draw = () => {
      const [w, h] = [port.clientWidth / view.scale, port.clientHeight / view.scale];
      const margin = 60 / view.scale;
      const { W, H } = view.stage;
      view.x = W <= w ? (W - w) / 2 : Math.max(-margin, Math.min(W - w + margin, view.x));
      view.y = H <= h ? Math.min(0, (H - h) / 2) : Math.max(-margin, Math.min(H - h + margin, view.y));
      svg.setAttribute("viewBox", `${view.x} ${view.y} ${w} ${h}`);
    };
    // As high as the drawing, up to nearly the height of the window; twice that at first, where the whole then needs no moving.
    view.resize = () => {
      const most = innerWidth < 700 ? 0.75 * innerHeight : Math.max(0.85 * innerHeight, view.whole || 0);
      port.style.height = isLarge() ? "" : `${Math.max(140, Math.min(most, view.stage.H * view.scale + 4))}px`;
    };
    view.zoom = (factor, left = port.clientWidth / 2, top = port.clientHeight / 2) => {
      const scale = Math.max(LEAST, Math.min(MOST, view.scale * factor));
      view.x += left / view.scale - left / scale;
      view.y += top / view.scale - top / scale;
      view.scale = scale;
      view.draw();
    };
    view.fit = () => {
      const most = isLarge() ? port.clientHeight : innerWidth < 700 ? 0.75 * innerHeight : 0.85 * innerHeight;
      view.scale = Math.max(LEAST, Math.min(1, port.clientWidth / view.stage.W, most / view.stage.H));
      view.x = view.y = 0;
      view.resize();
      view.draw();
    };
    // At first: letters of a readable size, and the first change in sight.
    view.begin = () => {
      view.scale = Math.max(0.8, Math.min(1, port.clientWidth / view.stage.W));
      view.whole = view.stage.H * view.scale <= 1.5 * innerHeight ? view.stage.H * view.scale + 4 : 0;
      view.resize();
      const changed = view.stage.boxes.find((box) => /\b(added|removed|changed)\b/.test(box.el.getAttribute("class")));
      view.x = view.y = 0;
      if (changed) {
        view.x = changed.X + changed.W / 2 - port.clientWidth / view.scale / 2;
        view.y = changed.Y - 90 / view.scale;
      }
      view.draw();
    };
    const pan = (dx, dy) => {
      view.x += dx / view.scale;
      view.y += dy / view.scale;
      view.draw();
    };
    const setLarge = (yes) => {
      figure.classList.toggle("large", yes);
      document.documentElement.classList.toggle("still", yes);
      full.setAttribute("aria-pressed", yes);
      if (yes) port.style.height = "";
      yes ? view.fit() : view.begin();
    };

    const tools = document.createElement("span");
    tools.className = "zoom";
    const add = (text, label, act) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.setAttribute("aria-label", `${label}${port.getAttribute("aria-label").replace("Diagram", "")}`);
      button.title = label;
      button.addEventListener("click", act);
      tools.append(button);
      return button;
    };
    add("−", "Zoom out", () => view.zoom(1 / 1.3));
    add("+", "Zoom in", () => view.zoom(1.3));
    add("Fit", "Show all", () => view.fit());
    const full = add("⤢", "Full window", () => setLarge(!isLarge()));
    full.setAttribute("aria-pressed", "false");
    figure.querySelector("figcaption").append(tools);

    port.addEventListener("keydown", (event) => {
      if (event.altKey || ((event.ctrlKey || event.metaKey) && !"+-=0".includes(event.key))) return;
      if (event.key === "Escape" && isLarge()) {
        setLarge(false);
        return;
      }
      if (event.ctrlKey || event.metaKey) return;
      const step = 60;
      const act = {
        "+": () => view.zoom(1.3),
        "=": () => view.zoom(1.3),
        "-": () => view.zoom(1 / 1.3),
        0: () => view.fit(),
        ArrowLeft: () => pan(-step, 0),
        ArrowRight: () => pan(step, 0),
        ArrowUp: () => pan(0, -step),
        ArrowDown: () => pan(0, step),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
    port.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        const box = port.getBoundingClientRect();
        view.zoom(Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
      },
      { passive: false },
    );
    const fingers = new Map();
    port.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      view.dragged = false;
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
    });
    port.addEventListener("pointermove", (event) => {
      const last = fingers.get(event.pointerId);
      if (!last) return;
      const [dx, dy] = [event.clientX - last[0], event.clientY - last[1]];
      if (!view.dragged && Math.abs(dx) + Math.abs(dy) < 5) return;
      if (!view.dragged && event.pointerType === "mouse") port.setPointerCapture(event.pointerId);
      view.dragged = true;
      if (fingers.size === 2) {
        const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
        const length = ([x, y]) => Math.hypot(x - other[0], y - other[1]) || 1;
        const box = port.getBoundingClientRect();
        view.zoom(length([event.clientX, event.clientY]) / length(last), other[0] - box.left, other[1] - box.top);
      } else pan(-dx, -dy);
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
    });
    for (const name of ["pointerup", "pointercancel", "pointerleave"]) port.addEventListener(name, (event) => fingers.delete(event.pointerId));
    port.addEventListener("dragstart", (event) => event.preventDefault());
    port.addEventListener(
      "click",
      (event) => {
        if (!view.dragged) return;
        event.preventDefault();
        event.stopPropagation();
        view.dragged = false;
      },
      true,
    );
    // What gets the focus is brought into sight; the browser would scroll the box, which has nothing to scroll.
    port.addEventListener("scroll", () => port.scrollTo(0, 0));
    port.addEventListener("focusin", (event) => {
      if (event.target === port || !event.target.matches(":focus-visible")) return;
      const outer = port.getBoundingClientRect(), inner = event.target.getBoundingClientRect();
      const past = (low, high, least, most) => (low < least ? low - least - 20 : high > most ? Math.min(high - most + 20, low - least - 20) : 0);
      pan(past(inner.left, inner.right, outer.left, outer.right), past(inner.top, inner.bottom, outer.top, outer.bottom));
    });
    lay(view.stage);
    view.begin();
    let width = port.clientWidth;
    addEventListener("resize", () => {
      if (port.clientWidth !== width || isLarge()) (width = port.clientWidth), isLarge() ? view.draw() : view.begin();
    });
    port.view = view;
  }
  for (const port of document.querySelectorAll(".view")) start(port);
  addEventListener("beforeprint", () => {
    for (const port of document.querySelectorAll(".view")) {
      const { view } = port;
      port.querySelector("svg").setAttribute("viewBox", `0 0 ${view.stage.W} ${view.stage.H}`);
      port.style.height = "";
    }
  });
  addEventListener("afterprint", () => document.querySelectorAll(".view").forEach((port) => port.view.begin()));
})();
