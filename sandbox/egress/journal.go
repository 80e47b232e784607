package egress

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

const (
	// burst lines of a kind are written at once, and then one for each pause.
	burst = 20
	pause = 10 * time.Second
	// strangers is how many hosts are told of in any case when they first occur.
	strangers = 100
	// causeSize is how much of an error is logged: servers have a part in some.
	causeSize = 200
)

// journal writes the log of one sandbox, which must not be able to fill it: of what it does
// in a loop, some lines are written and the rest is counted. Hosts, ports and reasons are
// all that is told of a request.
type journal struct {
	log zerolog.Logger
	now func() time.Time

	allowed, denied, failed atomic.Int64

	mu sync.Mutex
	// kinds are by event.
	kinds map[string]*kind
}

// kind is the lines of one event.
type kind struct {
	left       int
	filled     time.Time
	suppressed int
	known      map[target]bool
}

func newJournal(log zerolog.Logger, now func() time.Time) *journal {
	return &journal{log: log, now: now, kinds: map[string]*kind{}}
}

// line is one line of the log.
type line struct {
	level  zerolog.Level
	event  string
	target target
	// reason is one of a few, and cause, if there is one, what was behind it.
	reason string
	cause  error
}

// put writes a line, unless it is one too many.
func (j *journal) put(l line, message string) {
	suppressed, ok := j.may(l.event, l.target)
	if !ok {
		return
	}
	e := j.log.WithLevel(l.level)
	defer e.Msg(message)
	e.Str("event", l.event)
	if l.target != (target{}) {
		e.Str("host", l.target.host()).Uint16("port", l.target.port)
	}
	if l.reason != "" {
		e.Str("reason", l.reason)
	}
	if l.cause != nil {
		text := l.cause.Error()
		e.Str("cause", text[:min(len(text), causeSize)])
	}
	if suppressed > 0 {
		e.Int("suppressed", suppressed)
	}
}

// may reports whether there is a line left for the event, and how many there were none for
// since the last.
func (j *journal) may(event string, t target) (suppressed int, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.now()
	k := j.kinds[event]
	if k == nil {
		k = &kind{left: burst, filled: now, known: map[target]bool{}}
		j.kinds[event] = k
	}
	if n := int(now.Sub(k.filled) / pause); n > 0 {
		k.left, k.filled = min(burst, k.left+n), k.filled.Add(time.Duration(n)*pause)
	}
	stranger := t != (target{}) && !k.known[t] && len(k.known) < strangers
	switch {
	case stranger:
		k.known[t] = true
	case k.left == 0:
		k.suppressed++
		return 0, false
	default:
		k.left--
	}
	suppressed, k.suppressed = k.suppressed, 0
	return suppressed, true
}

// allow tells of what is on its way.
func (j *journal) allow(t target) {
	j.allowed.Add(1)
	j.put(line{level: zerolog.InfoLevel, event: "egress.allowed", target: t}, "a sandbox reaches a host")
}

// refuse tells of what is not.
func (j *journal) refuse(r *refusal) {
	l := line{level: zerolog.InfoLevel, event: "egress.denied", target: r.target, reason: r.reason, cause: r.cause}
	if r.status < http.StatusInternalServerError {
		j.denied.Add(1)
		j.put(l, "a sandbox was not let out")
		return
	}
	j.failed.Add(1)
	l.event = "egress.failed"
	j.put(l, "what a sandbox asked for could not be had")
}

// limit tells of a limit at which something was closed.
func (j *journal) limit(reason string) {
	j.put(line{level: zerolog.WarnLevel, event: "egress.limited", reason: reason}, "a sandbox came to a limit")
}

// Write takes what net/http has to say, which is about panics.
func (j *journal) Write(text []byte) (int, error) {
	first, _, _ := strings.Cut(string(text), "\n")
	j.put(line{level: zerolog.ErrorLevel, event: "egress.fault", cause: errors.New(first)}, "the proxy of a sandbox has a fault")
	return len(text), nil
}

// end tells what was not told, and what there was in all.
func (j *journal) end(s Stats) {
	j.mu.Lock()
	suppressed := 0
	for _, k := range j.kinds {
		suppressed += k.suppressed
	}
	j.mu.Unlock()
	j.log.Info().Str("event", "egress.ended").Int64("allowed", s.Allowed).Int64("denied", s.Denied).Int64("failed", s.Failed).
		Int64("sent", s.Sent).Int64("received", s.Received).Int("suppressed", suppressed).Msg("the way out of a sandbox is closed")
}
