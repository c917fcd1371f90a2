package webtest

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// gathered gives an incident the evidence of an outage behind a firewall.
func (f *Fake) gathered(id string, at time.Time) {
	const text = `203.0.113.7:443 is not reached: the last hop that answers is 4, 198.51.100.9, none of the 11 after it does; 2 resolvers agree on acme.perfioncloud.example; 2 of 2 witnesses answer

Failing
- backend/app01/perfion at 2026-11-23 10:42:20 CET: down, timeout, after 5s (dns 4ms, connect 4.99s): no answer within 5 s while connecting to 203.0.113.7:443
  last good at 2026-11-23 10:41:50 CET: up, after 94ms (dns 3ms, connect 12ms, tls 31ms, first_byte 48ms)

Paths
  path to 203.0.113.7:443 by tcp from 10.20.0.5 (eth0)
   1  10.20.0.1        0.4 ms
   2  *
   3  198.51.100.1     2.1 ms
   4  198.51.100.9     9.8 ms
  203.0.113.7:443 is not reached: the last hop that answers is 4, 198.51.100.9, none of the 11 after it does

Names
- acme.perfioncloud.example at system: 203.0.113.7 (4ms)
- acme.perfioncloud.example at 9.9.9.9:53: 203.0.113.7 (21ms)

Witnesses
- witness/tcp: up at 2026-11-23 10:42:18 CET, after 9ms
- witness/dns: up at 2026-11-23 10:42:19 CET, after 12ms

The agent
- looked from aks-westeurope, address 10.20.0.5 on eth0, at 2026-11-23 10:42:30 CET, in 9.42s
- the agent itself was not late: 3ms at the most within the last minute

Files
- path.txt (text/plain, 412 bytes)
- web-client-browser-screenshot.png (image/png, 9120 bytes)`
	path := []byte("path to 203.0.113.7:443 by tcp from 10.20.0.5 (eth0)\n")
	shot := screenshot()
	f.Evidences = append(f.Evidences, incident.Evidence{Incident: id, At: at, Took: 9420 * time.Millisecond, Text: text, Files: []incident.EvidenceFile{
		{Name: "path.txt", Type: "text/plain", Size: len(path), Content: path},
		{Name: "web-client-browser-screenshot.png", Type: "image/png", Size: len(shot), Content: shot},
	}, Left: []string{"web-client-browser-requests.har"}})
	f.tell(id, f.Now.Sub(at), incident.EventEvidence, incident.ActorAgent, text, 0)
}

// screenshot is a picture as wide as a browser's window.
func screenshot() []byte {
	picture := image.NewPaletted(image.Rect(0, 0, 1280, 720), color.Palette{color.White, color.RGBA{0x1f, 0x4e, 0x79, 0xff}})
	for x := range 1280 {
		for y := range 64 {
			picture.SetColorIndex(x, y, 1)
		}
	}
	var b bytes.Buffer
	_ = png.Encode(&b, picture) // into memory: it cannot fail
	return b.Bytes()
}
