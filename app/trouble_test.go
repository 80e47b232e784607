package app

import (
	"bytes"
	"context"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// trouble counts what GitHub did to the App.
type trouble struct {
	failing, slow, lost, repeated, held atomic.Int64

	// stalling ends when calls do not take long any more; nil: none does.
	stalling atomic.Pointer[context.Context]
	// killAt is the call at which the App is killed, once.
	killAt atomic.Pointer[killPoint]
}

// killPoint is a call to GitHub at which the App dies: before it has an effect, or
// after, when the answer does not arrive.
type killPoint struct {
	method string
	path   *regexp.Regexp
	after  bool
	kill   func()
}

// strike kills if this is the call, and reports whether it did.
func (t *trouble) strike(next http.Handler, r *http.Request) bool {
	point := t.killAt.Load()
	if point == nil || r.Method != point.method || !point.path.MatchString(r.URL.Path) || !t.killAt.CompareAndSwap(point, nil) {
		return false
	}
	if point.after {
		next.ServeHTTP(httptest.NewRecorder(), r)
	}
	point.kill()
	return true
}

// stall lets one call in some hundreds take longer than anybody waits, before its
// effect or after it. GitHub carries out nothing for a client that is gone.
func (t *trouble) stall(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t.strike(next, r) {
			return
		}
		until := t.stalling.Load()
		if until == nil || (*until).Err() != nil || rand.IntN(400) > 0 {
			next.ServeHTTP(w, r)
			return
		}
		t.slow.Add(1)
		body, err := io.ReadAll(r.Body) // or nobody notices that the client goes
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		late := rand.IntN(2) == 0
		if late {
			next.ServeHTTP(answer, r)
		}
		select {
		case <-time.After(35 * time.Second):
		case <-(*until).Done():
		case <-r.Context().Done():
			return
		}
		if !late {
			next.ServeHTTP(w, r)
			return
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	})
}

// disturb makes GitHub ill-tempered until ctx ends: calls fail before and after
// their effect, are slow, or take longer than anybody waits, and webhooks are
// lost, repeated, and held so that others overtake them. It returns a function
// that waits until GitHub is well again and has sent what it held.
func (c *cluster) disturb(ctx context.Context) (wait func()) {
	seed := c.random.Uint64()
	// The simulator asks these under its lock: one at a time.
	fate := rand.New(rand.NewPCG(seed, 2))
	often := func(count *atomic.Int64, in int) bool {
		if fate.IntN(in) > 0 {
			return false
		}
		count.Add(1)
		return true
	}
	c.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{
		Parallel: 8,
		Lose:     func(githubsim.Delivery) bool { return often(&c.trouble.lost, 20) },
		Hold:     func(githubsim.Delivery) bool { return often(&c.trouble.held, 6) },
		Repeat: func(githubsim.Delivery) int {
			if often(&c.trouble.repeated, 10) {
				return 1 + fate.IntN(2)
			}
			return 0
		},
	})
	c.trouble.stalling.Store(&ctx)
	var troubles sync.WaitGroup
	troubles.Go(func() { c.failCalls(ctx, rand.New(rand.NewPCG(seed, 3))) })
	troubles.Go(func() { c.releaseSome(ctx, rand.New(rand.NewPCG(seed, 4))) })
	return func() {
		troubles.Wait()
		c.github.SetLatency(0)
		c.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Parallel: 8})
		c.github.ReleaseHeld(nil)
	}
}

// failCalls lets calls of changing kinds fail, a few at a time.
func (c *cluster) failCalls(ctx context.Context, random *rand.Rand) {
	kinds := []string{"", `/graphql$`, `/check-runs`, `/access_tokens$`, `/reactions$`, `/comments$`, `/permission$`, `/pulls/\d+$`}
	for {
		fault := githubsim.Fault{
			Path: regexp.MustCompile(pick(random, kinds...)), After: random.IntN(2) == 0, Times: 1 + random.IntN(3),
			Status: pick(random, 0, http.StatusInternalServerError, http.StatusBadGateway),
		}
		remove := c.github.Inject(fault)
		c.trouble.failing.Add(1)
		c.github.SetLatency(pick(random, 0, 0, 5*time.Millisecond, 50*time.Millisecond, 300*time.Millisecond))
		select {
		case <-time.After(time.Duration(200+random.IntN(600)) * time.Millisecond):
			remove()
		case <-ctx.Done():
			remove()
			return
		}
	}
}

// releaseSome sends some of what was held, in another order.
func (c *cluster) releaseSome(ctx context.Context, random *rand.Rand) {
	for {
		select {
		case <-time.After(time.Duration(random.IntN(1500)) * time.Millisecond):
		case <-ctx.Done():
			return
		}
		c.github.ReleaseHeld(func(held []githubsim.Delivery) []githubsim.Delivery {
			random.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
			return held[:random.IntN(len(held)+1)]
		})
	}
}
