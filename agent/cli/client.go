package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/firstcall-agent/firstcall/config/secret"
)

// client speaks with a running agent.
type client struct {
	url       string
	tokenFile string
}

// answerLimit bounds what is read of one answer.
const answerLimit = 16 << 20

func (c *client) add(cmd *cobra.Command) {
	def := "http://127.0.0.1:9797"
	if env := os.Getenv("FIRSTCALL_URL"); env != "" {
		def = env
	}
	cmd.PersistentFlags().StringVar(&c.url, "url", def, "address of the running agent; FIRSTCALL_URL sets the default")
	cmd.PersistentFlags().StringVar(&c.tokenFile, "token-file", os.Getenv("FIRSTCALL_TOKEN_FILE"), "file with the agent's web.token, where it has one; FIRSTCALL_TOKEN_FILE sets the default")
}

func (c *client) get(ctx context.Context, path string, into any) error {
	return c.do(ctx, http.MethodGet, path, nil, into)
}

// do makes one call. Answers other than 2xx become an error made of what the agent said.
func (c *client) do(ctx context.Context, method, path string, body, into any) error {
	base, err := url.Parse(c.url)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return usage("--url: %s is not the address of an agent: want http://127.0.0.1:9797 or the like", secret.RedactURL(c.url))
	}
	var payload io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(data)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.url, "/")+path, payload)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if err := c.authorize(req); err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return c.explain(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return fmt.Errorf("the agent at %s broke off its answer: %w", secret.RedactURL(c.url), err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return c.refused(resp.StatusCode, data)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s does not answer as a firstcall agent does: %w", secret.RedactURL(c.url), err)
	}
	return nil
}

func (c *client) authorize(req *http.Request) error {
	if c.tokenFile == "" {
		return nil
	}
	token, err := os.ReadFile(c.tokenFile)
	if err != nil {
		return usage("--token-file: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	return nil
}

// explain says what to do where no agent answers.
func (c *client) explain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fmt.Errorf("no agent answers at %s: is 'firstcall run' running there? --url names another: %w", secret.RedactURL(c.url), op.Err)
	}
	return fmt.Errorf("the agent did not answer: %w", secret.RedactError(err))
}

// refused turns an answer that is not 2xx into an error.
func (c *client) refused(status int, data []byte) error {
	var answer struct{ Error, Hint string }
	if json.Unmarshal(data, &answer) != nil || answer.Error == "" {
		return fmt.Errorf("%s answered %d %s", secret.RedactURL(c.url), status, http.StatusText(status))
	}
	if answer.Hint != "" {
		return fmt.Errorf("%s; %s", answer.Error, answer.Hint)
	}
	return errors.New(answer.Error)
}
