// Replaces the page's content every few seconds, and says so loudly when it cannot: a page that stands still must not look well.
"use strict";
(function () {
  const every = 5000, late = 15000;
  let last = Date.now(), busy = false;

  function reading() {
    const chosen = document.getSelection();
    return chosen && !chosen.isCollapsed && document.querySelector("main").contains(chosen.anchorNode);
  }

  function put(text) {
    const next = new DOMParser().parseFromString(text, "text/html");
    const old = document.querySelector("main"), fresh = next.querySelector("main");
    if (!fresh || !old) throw new Error("not the agent's page");
    for (const d of old.querySelectorAll("details[id]")) {
      const same = fresh.querySelector("#" + CSS.escape(d.id));
      if (same) same.open = d.open;
    }
    const focus = old.contains(document.activeElement) ? document.activeElement : null;
    const key = focus && (focus.id ? "#" + CSS.escape(focus.id) : focus.getAttribute("href") ? 'a[href="' + CSS.escape(focus.getAttribute("href")) + '"]' :
      focus.localName === "summary" && focus.parentElement.id ? "#" + CSS.escape(focus.parentElement.id) + " > summary" : "");
    // The first sentence is announced by screen readers when it changes, and only then.
    const before = old.querySelector(".headline"), after = fresh.querySelector(".headline");
    if (before && after && before.isEqualNode(after)) after.replaceWith(before);
    old.replaceWith(fresh);
    document.title = next.title;
    const icon = document.querySelector('link[rel="icon"]'), newIcon = next.querySelector('link[rel="icon"]');
    if (icon && newIcon && icon.href !== newIcon.href) icon.href = newIcon.getAttribute("href");
    const again = key && fresh.querySelector(key);
    if (again) again.focus({ preventScroll: true });
  }

  // warn takes the colour out of what is old, in the page and in the window's icon.
  function warn(why) {
    const box = document.getElementById("stale");
    if (!box || Date.now() - last < late) return;
    box.hidden = false;
    box.textContent = why + " since " + new Date(last).toLocaleTimeString() + " (this computer's time). What stands below is old.";
    document.title = "old: " + document.title.replace(/^old: /, "");
    const headline = document.querySelector(".headline"), icon = document.querySelector('link[rel="icon"]');
    if (headline) headline.className = "headline unknown";
    if (icon) icon.href = icon.href.replace(/icon-\w+\.svg/, "icon-unknown.svg");
  }

  async function refresh() {
    if (busy || document.hidden) return;
    if (reading()) {
      warn("Not refreshed while text is selected,");
      return;
    }
    busy = true;
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(every * 2) });
      if (!answer.ok) throw new Error(answer.statusText);
      put(await answer.text());
      last = Date.now();
    } catch (e) {
      warn("The agent does not answer");
    } finally {
      busy = false;
    }
  }

  setInterval(refresh, every);
  document.addEventListener("visibilitychange", refresh);
})();
