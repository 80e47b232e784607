package tunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
)

// held is what speaks HTTP for one connection: with the allowed hosts only, by TLS only, and
// no longer than ctx, which the library does not pass on. Where a tunnel is, and where its
// relay, is told by others.
type held struct {
	ctx       context.Context //nolint:containedctx // see above
	hosts     []string
	transport http.RoundTripper
}

// maxAnswer is how long an answer of a tunnel service may be.
const maxAnswer = 1 << 20

// RoundTrip does so. Redirections come here too.
func (h held) RoundTrip(request *http.Request) (*http.Response, error) {
	if host := request.URL.Hostname(); request.URL.Scheme != "https" || !slices.ContainsFunc(h.hosts, func(domain string) bool { return isIn(host, domain) }) {
		return nil, fmt.Errorf("%s://%s is no address of a tunnel's", request.URL.Scheme, request.URL.Host)
	}
	answer, err := h.transport.RoundTrip(request.WithContext(h.ctx))
	if err != nil || answer.StatusCode == http.StatusSwitchingProtocols {
		return answer, err
	}
	said, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusOK && !bytes.HasPrefix(bytes.TrimSpace(said), []byte("{")) {
		return nil, errors.New("the tunnel service says nothing of a tunnel") // with which the library would not reckon
	}
	answer.Body = io.NopCloser(bytes.NewReader(said))
	return answer, nil
}
