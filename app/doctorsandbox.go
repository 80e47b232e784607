package app

import (
	"context"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/portcullis-app/portcullis/sandbox"
)

// sandboxTime is how long the doctor waits for what sandboxes run on.
const sandboxTime = 20 * time.Second

// sandboxes looks whether some could be started.
func (d *doctor) sandboxes(ctx context.Context, config Config) {
	ctx, cancel := context.WithTimeout(ctx, sandboxTime)
	defer cancel()
	providers, closing, err := sandboxesOf(ctx, config, io.Discard)
	if err != nil {
		d.finding(err.Error(), "mend `sandbox` in the configuration; the server does not start with it")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(providers)) {
		_, err := providers[name].List(ctx)
		if r, is := providers[name].(sandbox.Readier); is && err == nil {
			err = r.Ready(ctx)
		}
		if err != nil {
			d.finding("no sandbox can be started on "+name+": "+err.Error(), "until then `/sandbox start` is refused, and what runs there cannot be ended: it ends at its deadline")
			continue
		}
		d.fine("sandboxes can be started on %s", name)
	}
	_ = closing() // nothing was asked for that could be lost
}
