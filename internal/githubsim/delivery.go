package githubsim

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // GitHub still sends the old signature beside the new one
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net/http"
	"slices"
	"time"
)

// Delivery is one webhook, sent or not. StatusCode is the last answer's: 0 when none came. Attempts counts the sendings.
type Delivery struct {
	ID             int64 // of the last attempt, as under /app/hook/deliveries
	GUID           string
	Event, Action  string
	AppID          int64
	InstallationID int64
	RepositoryID   int64
	StatusCode     int
	Payload        []byte
	Attempts       int
	Held           bool // kept back by DeliveryKnobs.Hold
	DeliveredAt    time.Time
}

// DeliveryKnobs make deliveries ill-tempered. Each function is asked once for each new delivery, must not call the Sim, and may
// be nil.
type DeliveryKnobs struct {
	Lose     func(Delivery) bool // the network loses it: recorded as failed, never sent by itself
	Repeat   func(Delivery) int  // how many more times to send it, with the same GUID
	Hold     func(Delivery) bool // kept until ReleaseHeld
	Parallel int                 // how many are under way at once for each App; 0 and 1: one, in order
}

// post is the state of all deliveries.
type post struct {
	knobs   DeliveryKnobs
	log     []*delivery
	pending int           // queued or in flight
	changed chan struct{} // closed and replaced when pending drops, or GitHub is through with what it does by itself
	closed  bool
}

type delivery struct {
	app      *App
	guid     string
	event    string
	action   string
	install  int64
	repo     int64
	payload  []byte
	held     bool
	attempts []attempt
}

// attempt is one sending, as GitHub lists it.
type attempt struct {
	id          int64
	at          time.Time
	code        int
	took        time.Duration
	redelivery  bool
	explanation string
}

// mostDeliveries bounds what is remembered; GitHub keeps three days.
const mostDeliveries = 20000

// Deliveries are the webhooks so far, oldest first; of a long history the last 20,000.
func (s *Sim) Deliveries() []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Delivery, len(s.web.log))
	for i, d := range s.web.log {
		list[i] = d.view()
	}
	return list
}

// Redeliver sends a delivery again with the same GUID, as the button does.
func (s *Sim) Redeliver(guid string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.web.log {
		if d.guid == guid {
			s.enqueue(d)
			return nil
		}
	}
	return notFound()
}

// tell wakes whoever waits for a change.
func (p *post) tell() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// WaitForDeliveries waits until nothing is queued or in flight, and GitHub has done by itself what it does a moment later, such as
// auto-merges; held deliveries do not count.
func (s *Sim) WaitForDeliveries(ctx context.Context) error {
	for {
		s.mu.Lock()
		pending, looking, changed := s.web.pending, s.looking, s.web.changed
		s.mu.Unlock()
		if pending == 0 && !looking {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %d webhook deliveries: %w", pending, ctx.Err())
		}
	}
}

// SetDeliveryKnobs decides about deliveries from now on; the zero value is good temper.
func (s *Sim) SetDeliveryKnobs(k DeliveryKnobs) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.web.knobs = k
}

// ReleaseHeld sends what was held, in the order that order returns; what it leaves out stays held. A nil order keeps them as they came.
func (s *Sim) ReleaseHeld(order func([]Delivery) []Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	byGUID := map[string]*delivery{}
	var held []Delivery
	for _, d := range s.web.log {
		if d.held {
			byGUID[d.guid] = d
			held = append(held, d.view())
		}
	}
	if order != nil {
		held = order(held)
	}
	for _, view := range held {
		if d := byGUID[view.GUID]; d != nil {
			d.held = false
			s.enqueue(d)
		}
	}
}

func (d *delivery) view() Delivery {
	view := Delivery{
		GUID: d.guid, Event: d.event, Action: d.action, AppID: d.app.id, InstallationID: d.install, RepositoryID: d.repo,
		Payload: d.payload, Attempts: len(d.attempts), Held: d.held,
	}
	if len(d.attempts) > 0 {
		last := d.attempts[len(d.attempts)-1]
		view.ID, view.StatusCode, view.DeliveredAt = last.id, last.code, last.at
	}
	return view
}

// deliver records an event for an App and sends it unless a knob, or a missing URL, says otherwise.
func (s *Sim) deliver(app *App, i *Installation, event, action string, body obj) {
	d := &delivery{app: app, guid: newGUID(), event: event, action: action}
	if action != "" {
		body["action"] = action
	}
	if i != nil {
		d.install = i.id
	}
	if repo, ok := body["repository"].(obj); ok {
		d.repo, _ = repo["id"].(int64)
	}
	payload, err := json.Marshal(body)
	if err != nil {
		panic("githubsim: encoding a payload: " + err.Error()) // payloads are made of maps, strings and numbers
	}
	d.payload = payload
	s.web.log = append(s.web.log, d)
	if len(s.web.log) > mostDeliveries+mostDeliveries/10 {
		s.web.log = slices.Clone(s.web.log[len(s.web.log)-mostDeliveries:])
	}
	s.dispatch(d)
}

func (s *Sim) dispatch(d *delivery) {
	k := s.web.knobs
	view := d.view()
	switch {
	case d.app.hookURL == "":
		return
	case k.Lose != nil && k.Lose(view):
		d.attempts = append(d.attempts, attempt{id: s.id(), at: s.now().UTC(), explanation: "failed to connect to host"})
		return
	case k.Hold != nil && k.Hold(view):
		d.held = true
		return
	}
	s.enqueue(d)
	if k.Repeat != nil {
		for range k.Repeat(view) {
			s.enqueue(d)
		}
	}
}

// enqueue hands a delivery to the App's senders and starts one if there are too few. Close waits for them.
func (s *Sim) enqueue(d *delivery) {
	if s.web.closed || d.app.hookURL == "" {
		return
	}
	d.app.queue = append(d.app.queue, d)
	s.web.pending++
	if d.app.senders < max(1, s.web.knobs.Parallel) {
		d.app.senders++
		s.work.Add(1)
		go s.send(d.app)
	}
}

// send works on one App's queue until it is empty.
func (s *Sim) send(app *App) {
	defer s.work.Done()
	for {
		s.mu.Lock()
		if len(app.queue) == 0 {
			app.senders--
			s.mu.Unlock()
			return
		}
		d := app.queue[0]
		app.queue = app.queue[1:]
		url, secret, redelivery := app.hookURL, app.hookSecret, len(d.attempts) > 0
		s.mu.Unlock()

		made := s.post(d, url, secret)

		s.mu.Lock()
		made.id, made.redelivery = s.id(), redelivery
		d.attempts = append(d.attempts, made)
		s.web.pending--
		s.web.tell()
		s.mu.Unlock()
	}
}

// post sends one delivery, signed, and waits up to ten seconds for the answer; a redirect is not followed.
func (s *Sim) post(d *delivery, url, secret string) attempt {
	made := attempt{at: s.now().UTC()}
	start := time.Now()
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, url, bytes.NewReader(d.payload))
	if err != nil {
		made.explanation = err.Error()
		return made
	}
	req.Header = d.header(secret)
	resp, err := s.client.Do(req)
	made.took = time.Since(start)
	if err != nil {
		made.explanation = err.Error()
		return made
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // so that the connection can be used again
	made.code, made.explanation = resp.StatusCode, http.StatusText(resp.StatusCode)
	return made
}

func (d *delivery) header(secret string) http.Header {
	h := http.Header{}
	h.Set("Accept", "*/*")
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "GitHub-Hookshot/"+d.guid[:7])
	h.Set("X-GitHub-Event", d.event)
	h.Set("X-GitHub-Delivery", d.guid)
	h.Set("X-GitHub-Hook-ID", fmt.Sprint(d.app.hookID))
	h.Set("X-GitHub-Hook-Installation-Target-ID", fmt.Sprint(d.app.id))
	h.Set("X-GitHub-Hook-Installation-Target-Type", "integration")
	if secret != "" {
		h.Set("X-Hub-Signature", "sha1="+sign(sha1.New, secret, d.payload))
		h.Set("X-Hub-Signature-256", "sha256="+sign(sha256.New, secret, d.payload))
	}
	return h
}

func sign(algorithm func() hash.Hash, secret string, payload []byte) string {
	mac := hmac.New(algorithm, []byte(secret))
	mac.Write(payload)
	return hex.EncodeToString(mac.Sum(nil))
}

func newGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never returns an error
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
