// Draws the charts in the colours of the page's theme; sorts and unfolds tables. It needs Plotly
// only. Without this script, the page still has all its text and tables.
(() => {
  "use strict";
  const root = document.documentElement;
  const figures = JSON.parse(document.getElementById("charts").textContent);
  const narrow = window.matchMedia("(max-width: 40rem)");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const printing = window.matchMedia("print");
  // Width in CSS pixels of a chart on paper. A4 and Letter less their margins are a little wider;
  // there and on other paper its SVG is scaled to the column.
  const PAPER = 680;
  root.classList.add("js");

  const coloured = (value, styles) => {
    if (typeof value === "string") {
      return value.startsWith("var(--") ? styles.getPropertyValue(value.slice(4, -1)).trim() : value;
    }
    if (Array.isArray(value)) return value.map((each) => coloured(each, styles));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, coloured(each, styles)]));
  };

  const merged = (under, over) => {
    const both = [under, over].every((each) => each && typeof each === "object" && !Array.isArray(each));
    if (!both) return over;
    const keys = Object.keys(over).map((key) => [key, key in under ? merged(under[key], over[key]) : over[key]]);
    return { ...under, ...Object.fromEntries(keys) };
  };

  // What differs on a phone: margins (`narrow`) and legend (`narrow_legend`), and with `phone` any
  // part of the layout, the size of the numbers in the chart (`numbers`), and the chart's height
  const forPhone = (layout) => {
    const { narrow: margin = {}, narrow_legend: legend = {}, phone = {} } = layout.meta || {};
    const { numbers, ...changes } = phone;
    // A finger scrolls the page; it doesn't draw a zoom box
    const small = merged(layout, { dragmode: false, font: { size: 11 }, margin, legend, ...changes });
    if (numbers) small.annotations = small.annotations.map((each) => merged(each, { font: { size: numbers } }));
    return small;
  };

  const draw = (place, width) => {
    const figure = coloured(figures[place.id], getComputedStyle(root));
    const height = Number(place.dataset.height);
    let layout = { ...figure.layout, height, width, autosize: width === undefined };
    if (width === undefined && narrow.matches) layout = forPhone(layout);
    place.style.minHeight = `${layout.height}px`;
    // No bar of buttons: each would be a stop for the keyboard on its way to the next table
    const settings = { displayModeBar: false, responsive: width === undefined };
    const drawn = Plotly.react(place, figure.data, layout, settings);
    if (width !== undefined) {
      for (const svg of place.querySelectorAll(".main-svg")) svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      place.querySelector(".svg-container").style.aspectRatio = `${width} / ${height}`;
    }
    return drawn;
  };

  const places = [...document.querySelectorAll(".plot")].filter((place) => figures[place.id]);
  for (const place of places) {
    place.replaceChildren();
    place.style.minHeight = `${place.dataset.height}px`;
    place.style.minWidth = `${place.dataset.width}px`;
    if (place.dataset.most !== "0") place.style.maxWidth = `${place.dataset.most}px`;
  }
  let onPaper = false;
  const again = () => {
    if (!onPaper) places.filter((each) => each.data).forEach((each) => draw(each));
  };

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

  // Paper is white and narrower than the window. A browser that prints reports it twice, a script
  // that only switches to the media `print` once.
  const toPaper = () => {
    if (onPaper) return;
    onPaper = true;
    waiting.clear();
    root.dataset.theme = "light";
    for (const place of places) draw(place, PAPER);
    root.dataset.drawn = "all";
  };
  const toScreen = () => {
    if (!onPaper) return;
    onPaper = false;
    for (const place of places) {
      Plotly.purge(place);
      waiting.add(place);
    }
    wear(theme);
    delete root.dataset.drawn;
    idle(next);
  };
  window.addEventListener("beforeprint", toPaper);
  window.addEventListener("afterprint", toScreen);
  printing.addEventListener("change", () => (printing.matches ? toPaper() : toScreen()));

  // Whether a table or a chart goes on to the left or to the right
  for (const box of document.querySelectorAll(".scroll, .frame")) {
    const mark = () => {
      box.classList.toggle("more-left", box.scrollLeft > 1);
      box.classList.toggle("more-right", box.scrollWidth - box.clientWidth - box.scrollLeft > 1);
    };
    box.addEventListener("scroll", mark, { passive: true });
    const sizes = new ResizeObserver(mark);
    for (const each of [box, ...box.children]) sizes.observe(each);
  }

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

  // A page from a disk may not have the clipboard: then the selection is copied
  const copied = async (code) => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      return true;
    } catch {
      getSelection().selectAllChildren(code);
      return document.execCommand("copy");
    }
  };
  for (const copy of document.querySelectorAll(".copy")) {
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      const done = await copied(copy.parentElement.querySelector("code"));
      copy.textContent = done ? "Copied" : "Press Ctrl+C";
      setTimeout(() => { copy.textContent = "Copy"; }, 2000);
    });
  }

  // What was drawn while it was folded has no width yet
  for (const part of document.querySelectorAll(".folded-part")) {
    part.addEventListener("toggle", () => {
      if (!part.open) return;
      for (const place of part.querySelectorAll(".plot")) {
        if (figures[place.id]) { waiting.delete(place); draw(place); }
      }
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
