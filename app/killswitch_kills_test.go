package app

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/killswitch"
)

// TestNothingMergesThoughTheProcessIsKilled is the model test with the built binary,
// which is killed again and again at random moments.
func TestNothingMergesThoughTheProcessIsKilled(t *testing.T) {
	t.Parallel()
	_, thorough := crashTime(t)
	steps := 40
	if thorough {
		steps = 350
	}
	c := newCluster(t, "")
	c.start(1)
	h := newHalting(&testWorld{world: c.world, t: t, report: t}, uint64(time.Now().UnixNano()), ownProcess{c})
	h.killsIn = 3
	h.goes(steps)
}

// ownProcess is the built binary.
type ownProcess struct{ *cluster }

// inForce reads the record beside the process.
func (p ownProcess) inForce() (found []killswitch.Switch) {
	rows, err := p.records.QueryContext(p.t.Context(), `SELECT document FROM switches WHERE state <> ''`)
	if err != nil {
		p.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var document []byte
		var sw killswitch.Switch
		if err := rows.Scan(&document); err != nil {
			p.t.Fatal(err)
		}
		if err := json.Unmarshal(document, &sw); err != nil {
			p.t.Fatal(err)
		}
		found = append(found, sw)
	}
	if err := rows.Err(); err != nil {
		p.t.Fatal(err)
	}
	return found
}

// settle waits for webhooks to be worked off, and not for what GitHub fails.
func (p ownProcess) settle() {
	if err := p.github.WaitForDeliveries(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	for begun := time.Now(); time.Since(begun) < 2*time.Second; <-time.After(5 * time.Millisecond) {
		if undone, err := p.records.undone(p.t.Context()); err == nil && undone == 0 {
			return
		}
	}
}

// restart kills the process in the middle of what it does.
func (p ownProcess) restart() {
	<-time.After(rand.N(50 * time.Millisecond))
	p.murder(0)
}

// sweep is the process's own, every 40 s.
func (ownProcess) sweep() {}

func (p ownProcess) unhear() (hear func()) {
	p.hook.SetWebhookURL(p.github.URL() + "/nowhere")
	return func() { p.hook.SetWebhookURL(p.door.url()) }
}

// rest waits for the minute in which the processes before spent what GitHub allows, and
// for what the killed ones had claimed.
func (p ownProcess) rest(is func() []string) (lines []string) {
	for begun := time.Now(); time.Since(begun) < 3*time.Minute; <-time.After(100 * time.Millisecond) {
		if lines = is(); len(lines) == 0 {
			return nil
		}
	}
	return lines
}
