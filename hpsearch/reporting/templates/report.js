// Draws the charts in the colours of the page's theme; sorts and unfolds tables. Needs nothing but
// Plotly, and the page says all it has to say without it.
(() => {
  "use strict";
  const root = document.documentElement;
  const figures = JSON.parse(document.getElementById("charts").textContent);
  const narrow = window.matchMedia("(max-width: 40rem)");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  root.classList.add("js");

  const coloured = (value, styles) => {
    if (typeof value === "string") {
      return value.startsWith("var(--") ? styles.getPropertyValue(value.slice(4, -1)).trim() : value;
    }
    if (Array.isArray(value)) return value.map((each) => coloured(each, styles));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, coloured(each, styles)]));
  };

  const draw = (place, width) => {
    const figure = coloured(figures[place.id], getComputedStyle(root));
    const small = width === undefined && narrow.matches;
    const layout = {
      ...figure.layout,
      height: Number(place.dataset.height),
      width,
      autosize: width === undefined,
    };
    if (small) {
      // A finger scrolls the page; it doesn't draw a zoom box
      layout.dragmode = false;
      layout.font = { ...layout.font, size: 11 };
      layout.margin = { ...layout.margin, ...(layout.meta && layout.meta.narrow) };
      layout.legend = { ...layout.legend, ...(layout.meta && layout.meta.narrow_legend) };
    }
    // No bar of buttons: each would be a stop for the keyboard on its way to the next table
    const settings = { displayModeBar: false, responsive: width === undefined };
    return Plotly.react(place, figure.data, layout, settings);
  };

  const places = [...document.querySelectorAll(".plot")].filter((place) => figures[place.id]);
  for (const place of places) {
    place.replaceChildren();
    place.style.minHeight = `${place.dataset.height}px`;
    place.style.minWidth = `${place.dataset.width}px`;
  }
  const again = (width) => places.filter((each) => each.data).map((each) => draw(each, width));

  // One chart at a time, so that the page answers meanwhile; those in sight come first
  const waiting = new Set(places);
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting || !waiting.delete(entry.target)) continue;
      draw(entry.target);
    }
  }, { rootMargin: "600px" });
  places.forEach((place) => seen.observe(place));
  const idle = window.requestIdleCallback || ((work) => setTimeout(work, 30));
  const next = () => {
    const [place] = waiting;
    if (place === undefined) {
      root.dataset.drawn = "all";
      return;
    }
    waiting.delete(place);
    draw(place);
    idle(next);
  };
  idle(next);

  const button = document.getElementById("theme");
  const themes = { auto: "as the system", light: "light", dark: "dark" };
  const remember = {
    get() { try { return localStorage.getItem("hpsearch-theme"); } catch { return null; } },
    set(theme) { try { localStorage.setItem("hpsearch-theme", theme); } catch { /* a file may not */ } },
  };
  let theme = "auto";
  const wear = (wanted) => {
    theme = wanted in themes ? wanted : "auto";
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    button.querySelector(".said").textContent = `Theme: ${themes[theme]}`;
    again();
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    const order = Object.keys(themes);
    wear(order[(order.indexOf(theme) + 1) % order.length]);
    remember.set(theme);
  });
  wear(remember.get() || "auto");
  dark.addEventListener("change", () => again());

  // Paper is white and narrower than the window
  window.addEventListener("beforeprint", () => {
    for (const place of [...waiting]) { waiting.delete(place); draw(place); }
    root.dataset.theme = "light";
    again(680);
  });
  window.addEventListener("afterprint", () => wear(theme));

  for (const more of document.querySelectorAll(".more")) {
    const rows = document.getElementById(more.getAttribute("aria-controls"));
    rows.classList.add("shut");
    more.hidden = false;
    const closed = more.textContent;
    more.addEventListener("click", () => {
      const open = !rows.classList.toggle("shut");
      more.setAttribute("aria-expanded", String(open));
      more.textContent = open ? "Show fewer rows" : closed;
    });
  }

  const sizes = { k: 1e3, M: 1e6, G: 1e9 };
  const figure = (cell) => {
    const found = /^([-+]?[\d,]*\.?\d+(?:e[-+]?\d+)?)\s*([kMG](?![a-z]))?/i.exec(cell);
    return found ? Number(found[1].replaceAll(",", "")) * (sizes[found[2]] || 1) : null;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, index) => {
      const sorter = document.createElement("button");
      sorter.type = "button";
      sorter.append(...head.childNodes);
      head.append(sorter);
      sorter.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const body = table.tBodies[0];
        const shown = [...body.rows].filter((row) => !row.hasAttribute("data-more")).length;
        const numeric = head.classList.contains("number");
        const rows = [...body.rows].map((row) => {
          const text = row.cells[index].textContent;
          return { row, text, value: numeric ? figure(text) : text };
        });
        const missing = (each) => each.value === null || each.text === "-" || each.text === "";
        rows.sort((one, other) => {
          if (missing(one) || missing(other)) return missing(one) - missing(other);
          const order = numeric ? one.value - other.value : one.text.localeCompare(other.text);
          return down ? -order : order;
        });
        rows.forEach(({ row }, place) => {
          row.toggleAttribute("data-more", place >= shown);
          body.append(row);
        });
      });
    });
  }

  if (narrow.matches) document.querySelector("nav details").open = false;
})();
