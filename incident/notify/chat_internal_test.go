package notify

import (
	"errors"
	"testing"

	"github.com/firstcall-agent/firstcall/config/secret"
)

func TestCleanLeavesTheReasonAndNoToken(t *testing.T) {
	tests := []struct{ name, url, err, want string }{
		{
			"an address whose form is not the configured one", "slack://hook:WNA3PBYV6-F20DUQND3RQ-Webc4MAvoacrpPakR8phF0zi@webhook",
			`failed to invoke webhook: Post "https://hooks.slack.com/services/WNA3PBYV6/F20DUQND3RQ/Webc4MAvoacrpPakR8phF0zi": dial tcp: lookup hooks.slack.com: no such host`,
			`failed to invoke webhook: Post "its address": dial tcp: lookup hooks.slack.com: no such host`,
		},
		{"a token outside an address", "bark://devicekey12345@bark.example", "no device devicekey12345 at bark.example", "no device <secret> at bark.example"},
		{"a host that is a token", "ifttt://keykeykey/?events=event1", "keykeykey refused event1", "<secret> refused <secret>"},
		{"an escaped token", "discord://tok%20en+x@123456789", "tok en+x and tok+en%2Bx for 123456789", "<secret> and <secret> for <secret>"},
		{"control characters", "ntfy://ntfy.example/topic4711", "topic4711\x1b[2J\r\nfull", "<secret> [2J full"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := &Chat{URL: secret.New(test.url)}
			if got := c.clean(errors.New(test.err)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
