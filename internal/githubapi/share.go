package githubapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
)

// joinable is how long after a read began others may join it: they learn what was
// so up to that long before they asked.
const joinable = 100 * time.Millisecond

// sharing lets reads of the same that are under way together share one call. It is
// one installation's.
type sharing struct {
	next  http.RoundTripper
	reads *singleflight.Group
}

// sharedAnswer is what everybody who asked gets a copy of.
type sharedAnswer struct {
	response *http.Response
	body     []byte
}

// RoundTrip joins a read that is under way or begins one. The read belongs to
// nobody who waits for it: whoever leaves early does not end it for the others.
func (s sharing) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet || r.Body != nil || r.Context().Value(aloneKey) != nil {
		return s.next.RoundTrip(r)
	}
	ctx := r.Context()
	asked := r.Clone(context.WithoutCancel(ctx)) // the caller's own is theirs again if they leave
	key := readKeyOf(asked)
	result := s.reads.DoChan(key, func() (any, error) {
		closed := time.AfterFunc(joinable, func() { s.reads.Forget(key) })
		defer closed.Stop()
		return s.read(asked)
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case got := <-result:
		if got.Err != nil {
			return nil, got.Err
		}
		answer, ok := got.Val.(sharedAnswer)
		if !ok {
			return nil, fmt.Errorf("a shared read is a %T", got.Val)
		}
		return answer.copyFor(r), nil
	}
}

func (s sharing) read(r *http.Request) (sharedAnswer, error) {
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	response, err := s.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return sharedAnswer{}, err
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return sharedAnswer{}, fmt.Errorf("read an answer: %w", err)
	}
	return sharedAnswer{response, body}, nil
}

func (a sharedAnswer) copyFor(r *http.Request) *http.Response {
	response := *a.response
	response.Request, response.Header = r, a.response.Header.Clone()
	response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(a.body)), int64(len(a.body))
	return &response
}

// readKeyOf tells reads apart by all that can make a difference to the answer. What
// can wait, what cannot and the rest are apart: they are held back by different
// things.
func readKeyOf(r *http.Request) string {
	return strings.Join([]string{
		r.URL.String(), strings.Join(r.Header.Values("Accept"), ","),
		r.Header.Get("If-None-Match"), r.Header.Get("If-Modified-Since"), r.Header.Get("Range"), strconv.FormatBool(isBackground(r.Context())), strconv.FormatBool(isUrgent(r.Context())),
	}, "\n")
}
