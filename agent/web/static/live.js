// Keeps the page as new as the agent: it listens to the stream of events and reads the page again when one comes, and every half a
// minute in any case; without a stream it reads every five seconds. It says so loudly when it cannot: a page that stands still must
// not look well.
"use strict";
(function () {
  const follow = 30000, poll = 5000, late = 15000;
  const stream = new URL("../api/v1/events", document.currentScript.src);
  let last = Date.now(), busy = false, again = false, source = null, timer = 0;

  const address = new URL(location.href); // what a form did is said once
  if (address.searchParams.has("done")) {
    address.searchParams.delete("done");
    history.replaceState(null, "", address);
  }

  function reading() {
    const chosen = document.getSelection();
    return chosen && !chosen.isCollapsed && document.querySelector("main").contains(chosen.anchorNode);
  }

  // begun reports whether somebody writes into a form, or has written.
  function begun(form) {
    if (form.contains(document.activeElement) && document.activeElement.localName !== "button") return true;
    return Array.from(form.elements).some((e) =>
      e.type === "checkbox" ? e.checked !== e.defaultChecked :
      e.localName === "select" ? Array.from(e.options).some((o) => o.selected !== o.defaultSelected) && e.value !== e.dataset.first :
      "defaultValue" in e && e.value !== e.defaultValue);
  }

  function remember(root) {
    for (const e of root.querySelectorAll("select")) e.dataset.first = e.value;
  }

  // keep takes what somebody is writing over into what comes in its place.
  function keep(old, fresh) {
    for (const form of old.querySelectorAll("form[id]")) {
      const same = begun(form) && fresh.querySelector("#" + CSS.escape(form.id));
      if (same) same.replaceWith(form);
    }
  }

  // exchange replaces the parts of the page that differ, and leaves the others as they are, with whoever reads or presses there.
  function exchange(old, fresh) {
    const was = Array.from(old.children), is = Array.from(fresh.children);
    old.dataset.level = fresh.dataset.level;
    if (was.length !== is.length || was.some((e, i) => e.localName !== is[i].localName)) {
      keep(old, fresh);
      old.replaceChildren(...fresh.childNodes);
      return;
    }
    was.forEach((e, i) => {
      if (e.isEqualNode(is[i])) return;
      keep(e, is[i]);
      e.replaceWith(is[i]);
    });
  }

  function put(text) {
    const next = new DOMParser().parseFromString(text, "text/html");
    const old = document.querySelector("main"), fresh = next.querySelector("main");
    if (!fresh || !old) throw new Error("not the agent's page");
    for (const d of old.querySelectorAll("details[id]")) {
      const same = fresh.querySelector("#" + CSS.escape(d.id));
      if (same) same.open = d.open;
    }
    remember(fresh);
    const focus = old.contains(document.activeElement) ? document.activeElement : null;
    const key = focus && (focus.id ? "#" + CSS.escape(focus.id) : focus.getAttribute("href") ? 'a[href="' + CSS.escape(focus.getAttribute("href")) + '"]' :
      focus.localName === "summary" && focus.parentElement.id ? "#" + CSS.escape(focus.parentElement.id) + " > summary" : "");
    exchange(old, fresh);
    // Browsers do not send the cookie of who is signed in where a link of another site led here, but with the page's own requests.
    const bar = document.querySelector(".top"), newBar = next.querySelector(".top");
    if (bar && newBar && !bar.isEqualNode(newBar) && !bar.contains(document.activeElement)) bar.replaceWith(newBar);
    document.title = next.title;
    const icon = document.querySelector('link[rel="icon"]'), newIcon = next.querySelector('link[rel="icon"]');
    if (icon && newIcon && icon.href !== newIcon.href) icon.href = newIcon.getAttribute("href");
    const target = focus && document.contains(focus) ? focus : key && document.querySelector(key);
    if (target && target !== document.activeElement) target.focus({ preventScroll: true });
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
    if (document.hidden) return;
    if (busy) {
      again = true;
      return;
    }
    if (reading()) {
      warn("Not refreshed while text is selected,");
      return;
    }
    busy = true;
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(poll * 2) });
      if (!answer.ok) throw new Error(answer.statusText);
      put(await answer.text());
      last = Date.now();
    } catch (e) {
      warn("The agent does not answer");
    } finally {
      busy = false;
      plan();
      if (again) {
        again = false;
        refresh();
      }
    }
  }

  function plan() {
    clearTimeout(timer);
    const open = source && source.readyState === EventSource.OPEN;
    timer = setTimeout(() => { refresh(); plan(); }, open && Date.now() - last < late ? follow : poll);
  }

  // A browser has few connections to one host: a page that nobody sees gives its own back.
  function listen() {
    if (document.hidden) {
      if (source) source.close();
      source = null;
      return;
    }
    if (!source || source.readyState === EventSource.CLOSED) {
      source = new EventSource(stream);
      source.addEventListener("state", refresh);
      source.addEventListener("results", refresh);
      source.addEventListener("open", plan);
      source.addEventListener("error", plan);
    }
  }

  remember(document);
  listen();
  plan();
  setInterval(listen, follow); // a stream that was refused is asked for again
  document.addEventListener("visibilitychange", () => { listen(); refresh(); });
})();
