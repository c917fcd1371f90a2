package chromium

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// MaxPicture bounds a picture, in bytes.
const MaxPicture = 1 << 20

// NetError is a failed navigation in Chromium's own words, such as net::ERR_CONNECTION_REFUSED.
type NetError string

// Error returns the words.
func (e NetError) Error() string { return string(e) }

// ErrCrashed says that the page's process crashed.
var ErrCrashed = errors.New("the page's process in chromium crashed, as for lack of memory")

// Page is a page in a browser context of its own: no cookie, cache or storage is shared with another. It is for one goroutine.
type Page struct {
	p                        *process
	context, target, session string
	world                    int64 // execution context of Eval in the page's document; 0: none yet
	record                   *recorder
	closing                  chan<- *Page
	why                      func() error
}

type object map[string]any

func newPage(ctx context.Context, p *process) (page *Page, err error) {
	page = &Page{p: p, record: newRecorder(p.conn)}
	var made struct {
		Context string `json:"browserContextId"`
		Target  string `json:"targetId"`
		Session string `json:"sessionId"`
	}
	if err := p.call(ctx, "", "Target.createBrowserContext", object{"disposeOnDetach": true}, &made); err != nil {
		return nil, err
	}
	page.context = made.Context
	defer func() {
		if err != nil {
			page.unlisten()
			p.post("", "Target.disposeBrowserContext", object{"browserContextId": page.context})
		}
	}()
	if err := p.call(ctx, "", "Target.createTarget", object{
		"url": "about:blank", "browserContextId": page.context, "width": width, "height": height,
	}, &made); err != nil {
		return nil, err
	}
	page.target, page.record.frame = made.Target, made.Target
	if err := p.call(ctx, "", "Target.attachToTarget", object{"targetId": page.target, "flatten": true}, &made); err != nil {
		return nil, err
	}
	page.session = made.Session
	page.record.attach(page.session)
	return page, page.enable(ctx)
}

// enable switches on what is recorded, and off what a page must not do.
func (g *Page) enable(ctx context.Context) error {
	if err := g.p.call(ctx, "", "Browser.setDownloadBehavior", object{"behavior": "deny", "browserContextId": g.context}, nil); err != nil {
		return err
	}
	for _, step := range []struct {
		method string
		params object
	}{
		{"Page.enable", nil},
		{"Page.setLifecycleEventsEnabled", object{"enabled": true}},
		{"Inspector.enable", nil},
		{"Network.enable", networkBounds},
		{"Runtime.enable", nil},
		{"Log.enable", nil},
		{"Emulation.setUserAgentOverride", object{"userAgent": g.p.agent}},
		{"Target.setAutoAttach", object{"autoAttach": true, "waitForDebuggerOnStart": false, "flatten": true}},
	} {
		if err := g.p.call(ctx, g.session, step.method, step.params, nil); err != nil {
			return err
		}
	}
	return nil
}

// networkBounds keep Chromium from storing bodies for the recorder, which wants none.
var networkBounds = object{"maxTotalBufferSize": 1 << 20, "maxResourceBufferSize": 64 << 10, "maxPostDataSize": 0}

func (g *Page) unlisten() {
	for _, session := range g.record.attached() {
		g.p.listen(session, nil)
	}
}

// Close gives the page back. It does not wait: the browser closes the page meanwhile, or is ended when it does not.
func (g *Page) Close() {
	g.unlisten()
	g.closing <- g // it has room for every page that is open
}

// dispose closes the page with its context, and reports whether the browser is worn by it.
func (g *Page) dispose() (worn bool) {
	ctx, cancel := context.WithTimeout(context.Background(), disposeWithin)
	defer cancel()
	err := g.p.call(ctx, "", "Target.disposeBrowserContext", object{"browserContextId": g.context}, nil)
	if errors.Is(err, context.DeadlineExceeded) {
		g.p.stop()
	}
	return err != nil || g.record.crashed()
}

// call asks the page. Errors say why: that the page crashed, or why the browser ended.
func (g *Page) call(ctx context.Context, method string, params object, result any) error {
	err := g.p.callUntil(ctx, g.record.crash, g.session, method, params, result)
	if errors.Is(err, ErrGone) {
		return g.why()
	}
	return err
}

// Err returns why the page can no longer be used: ErrCrashed, ErrMemory or ErrGone; nil while it can.
func (g *Page) Err() error {
	if g.record.crashed() {
		return ErrCrashed
	}
	if !g.p.alive() {
		return g.why()
	}
	return nil
}

// Changed receives a value now and then when the page did something.
func (g *Page) Changed() <-chan struct{} { return g.record.changed }

// Record returns what the page has done so far.
func (g *Page) Record() Record { return g.record.copy() }

// Navigate goes to an address and returns when its document begins to arrive. A failure of the network is a NetError.
func (g *Page) Navigate(ctx context.Context, address string) error {
	var done struct {
		Error string `json:"errorText"`
	}
	if err := g.call(ctx, "Page.navigate", object{"url": address, "transitionType": "typed"}, &done); err != nil {
		return err
	}
	if done.Error != "" {
		return NetError(done.Error)
	}
	return nil
}

// Eval calls a JavaScript function, in a world apart from the page's own scripts, with arguments and decodes what it returns or
// promises into result. The function sees the document as it is when it runs.
func (g *Page) Eval(ctx context.Context, function string, result any, arguments ...any) error {
	values := make([]object, len(arguments))
	for i, a := range arguments {
		values[i] = object{"value": a}
	}
	for again := false; ; again = true {
		if g.world == 0 {
			var made struct {
				ID int64 `json:"executionContextId"`
			}
			if err := g.call(ctx, "Page.createIsolatedWorld", object{"frameId": g.target, "worldName": "firstcall"}, &made); err != nil {
				return err
			}
			g.world = made.ID
		}
		var answer struct {
			Result    struct{ Value json.RawMessage }
			Exception *struct{ Text string } `json:"exceptionDetails"`
		}
		err := g.call(ctx, "Runtime.callFunctionOn", object{
			"functionDeclaration": function, "executionContextId": g.world, "arguments": values, "returnByValue": true,
			"awaitPromise": true, "silent": true,
		}, &answer)
		var refused *ProtocolError
		switch {
		case errors.As(err, &refused) && !again:
			g.world = 0 // the document changed: its world went with it
			continue
		case err != nil:
			return err
		case answer.Exception != nil:
			return errors.New("the page cannot be asked: " + answer.Exception.Text)
		case result == nil || len(answer.Result.Value) == 0:
			return nil
		}
		return json.Unmarshal(answer.Result.Value, result)
	}
}

// Screenshot returns a picture of the window, JPEG, of at most MaxPicture bytes.
func (g *Page) Screenshot(ctx context.Context) ([]byte, error) {
	for scale := 1.0; scale > 0.2; scale /= 2 {
		var answer struct{ Data []byte }
		err := g.call(ctx, "Page.captureScreenshot", object{
			"format": "jpeg", "quality": 60, "optimizeForSpeed": true,
			"clip": object{"x": 0, "y": 0, "width": width, "height": height, "scale": scale},
		}, &answer)
		switch {
		case errors.Is(err, errTooLong) || err == nil && len(answer.Data) > MaxPicture:
			continue
		case err != nil:
			return nil, err
		}
		return answer.Data, nil
	}
	return nil, fmt.Errorf("the picture has more than %d bytes", MaxPicture)
}

// Chain returns the certificates, in DER form, that a server of this page showed, the leaf first.
func (g *Page) Chain(ctx context.Context, origin string) ([][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var answer struct {
		Chain [][]byte `json:"tableNames"`
	}
	err := g.call(ctx, "Network.getCertificate", object{"origin": origin}, &answer)
	return answer.Chain, err
}
