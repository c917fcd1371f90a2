package web

import (
	"cmp"
	"fmt"
	"html"
	"net/http"
)

var badgeColours = map[Level]string{levelWell: "#1a7f37", levelNotice: "#9a5200", levelAlarm: "#c4162a", levelUnknown: "#5b6572"}

// badge is a picture of the headline for other pages. Every badge has the same size, so that a page that embeds it cannot tell
// the state from its measures.
func (s *site) badge(w http.ResponseWriter, r *http.Request) {
	h := s.look(r.Context(), 0).headline()
	name, short := html.EscapeString(bounded(clean(cmp.Or(s.Tenant, "firstcall")), 20)), html.EscapeString(bounded(clean(h.Short), 24))
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
	_, _ = fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="300" height="22" role="img" aria-label="%[1]s: %[2]s"><title>%[1]s: %[2]s</title>`+
		`<rect width="140" height="22" fill="#3a424c"/><rect x="140" width="160" height="22" fill="%[3]s"/>`+
		`<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle"><text x="70" y="15">%[1]s</text>`+
		`<text x="220" y="15">%[2]s</text></g></svg>`+"\n", name, short, badgeColours[h.Level])
}
