package probes

// The scripts run in a world of their own in the page's document: its scripts neither see nor change them.

// scriptFind finds elements, in open shadow roots too, that a person can see; it throws when a selector is none.
const scriptFind = `
	const shown = e => {
		const r = e.getBoundingClientRect();
		return r.width > 0 && r.height > 0 && r.right > 0 && r.bottom + scrollY > 0 &&
			e.checkVisibility({opacityProperty: true, visibilityProperty: true, contentVisibilityAuto: true});
	};
	const find = (selector, root = document) => {
		for (const e of root.querySelectorAll(selector)) if (shown(e)) return e;
		let left = 20000;
		for (const e of root.querySelectorAll('*')) {
			if (left-- < 0) return null;
			const inner = e.shadowRoot && find(selector, e.shadowRoot);
			if (inner) return inner;
		}
		return null;
	};
`

// scriptShows says whether a page of one of these hosts shows what it should.
const scriptShows = `function(hosts, selector, text) {` + scriptFind + `
	if (!hosts.includes(location.hostname)) return 'no';
	try {
		if (selector && !find(selector)) return 'no';
	} catch (e) {
		return e.name === 'SyntaxError' ? 'selector' : 'no';
	}
	if (text && !(document.body && document.body.innerText.includes(text))) return 'no';
	return 'yes';
}`

// scriptVitals waits, for half a second at most, until what became visible is painted, and reads the Web Vitals so far. The layout
// shift is that of the worst session: shifts less than a second apart, within five seconds.
const scriptVitals = `async function() {
	const painted = () => performance.getEntriesByName('first-contentful-paint').length;
	for (let i = 0; i < 25 && !painted(); i++) await new Promise(done => setTimeout(done, 20));
	const entries = type => {
		const o = new PerformanceObserver(() => {});
		try { o.observe({type, buffered: true}); return o.takeRecords(); } catch { return []; } finally { o.disconnect(); }
	};
	let fcp = 0, lcp = 0, cls = 0, sum = 0, first = 0, last = 0;
	if (painted()) fcp = performance.getEntriesByName('first-contentful-paint')[0].startTime;
	for (const e of entries('largest-contentful-paint')) lcp = Math.max(lcp, e.startTime);
	for (const e of entries('layout-shift')) {
		if (e.hadRecentInput) continue;
		if (e.startTime - last > 1000 || e.startTime - first > 5000) { sum = 0; first = e.startTime; }
		sum += e.value;
		last = e.startTime;
		cls = Math.max(cls, sum);
	}
	return {Title: document.title.slice(0, 200), FCP: fcp, LCP: lcp, CLS: cls};
}`

// scriptForget empties what was typed, before a picture is taken: a page may show a password that was hidden.
const scriptForget = `function() {
	for (const e of globalThis.typed || []) e.value = '';
}`

// scriptGuard comes before everything that gives the account away: it holds at the same instant, in the same document.
const scriptGuard = `
	const allowed = address => {
		const u = new URL(address, document.baseURI);
		return hosts.includes(u.hostname) && (u.protocol === 'https:' || clear && u.protocol === 'http:');
	};
	const attribute = (e, name) => Element.prototype.getAttribute.call(e, name);
	const safe = e => allowed(location.href) &&
		(!e.form || [e.form, ...e.form.querySelectorAll('[formaction]')].every(f => {
			const to = attribute(f, f === e.form ? 'action' : 'formaction');
			return !to || /^javascript:/i.test(to) || allowed(to);
		}));
`

// scriptState says what a page that logs in shows.
const scriptState = `function(hosts, clear, ends, s) {` + scriptFind + scriptGuard + `
	const sees = selector => { try { return !!selector && !!find(selector); } catch { return false; } };
	const text = selector => { try { const e = selector && find(selector); return e ? e.innerText.slice(0, 300) : ''; } catch { return ''; } };
	for (const selector of Object.values(s)) {
		try { selector && document.querySelector(selector); } catch { return {Bad: selector}; }
	}
	return {
		Document: String(performance.timeOrigin), Allowed: allowed(location.href), Ready: document.readyState !== 'loading',
		Complete: document.readyState === 'complete', Title: document.title.slice(0, 100),
		Expect: ends.includes(location.hostname) && sees(s.expect), Refused: sees(s.refused), Why: text(s.refused),
		User: sees(s.user), Password: sees(s.password), Other: sees(s.other), Start: sees(s.start), Stay: sees(s.stay), More: sees(s.more),
	};
}`

// scriptType fills a field; a password goes into a password field only.
const scriptType = `function(hosts, clear, selector, value, password) {` + scriptFind + scriptGuard + `
	const e = find(selector);
	if (!e || !(e instanceof HTMLInputElement)) return 'gone';
	if (password && e.type !== 'password') return 'clear';
	if (!safe(e)) return 'foreign';
	e.focus();
	Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(e, value);
	if (password) (globalThis.typed ||= []).push(e);
	e.dispatchEvent(new InputEvent('input', {bubbles: true, composed: true}));
	e.dispatchEvent(new Event('change', {bubbles: true}));
	return 'done';
}`

// scriptSubmit sends the form of a field, as a person does: by its button.
const scriptSubmit = `function(hosts, clear, selector, button) {` + scriptFind + scriptGuard + `
	const e = find(selector);
	if (!e) return 'gone';
	if (!safe(e)) return 'foreign';
	const usual = 'button[type=submit], input[type=submit], input[type=image], button:not([type])';
	const b = button ? find(button) : e.form ? find(usual, e.form) || find('button', e.form) : find(usual) || find('button');
	if (b) b.click(); else if (e.form) e.form.requestSubmit(); else return 'gone';
	return 'done';
}`

const scriptClick = `function(selector) {` + scriptFind + `
	const e = find(selector);
	if (e) e.click();
	return !!e;
}`
