// In optuna-dashboard's page: its home is hpsearch's home, and each study begins with its note.
(() => {
  "use strict";
  const study = (path) => (/^\/dashboard\/studies\/(\d+)/.exec(path) || [])[1];
  const head = document.getElementById("hpsearch");
  // optuna-dashboard draws `main` beside its menu, again for each of its pages. Only the first page
  // of a study begins with the note; the others are as high as the window.
  const show = () => {
    if (!head) return;
    const main = document.querySelector("#dashboard main");
    if (main && head.parentNode !== main) main.insertBefore(head, main.children[1] ?? null);
    head.hidden = !main || !/^\/dashboard\/studies\/\d+\/?$/.test(location.pathname);
  };
  for (const name of ["pushState", "replaceState"]) {
    const change = history[name];
    history[name] = function (state, title, address) {
      const to = new URL(address ?? location.href, location.href);
      // Another study has another note, and the server writes it
      if (/^\/dashboard\/?$/.test(to.pathname) || study(to.pathname) !== study(location.pathname)) {
        location.assign(to);
        return;
      }
      change.apply(history, [state, title, address]);
      show();
    };
  }
  addEventListener("popstate", show);
  if (head) new MutationObserver(show).observe(document.getElementById("dashboard"), { childList: true, subtree: true });
  show();
})();
