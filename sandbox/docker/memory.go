package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/moby/moby/client"
)

// oomTime is how long the engine may take to tell that memory was over.
const oomTime = 300 * time.Millisecond

// outOfMemory reports whether the kernel killed something in the sandbox since then because
// its memory was over. The container's own state tells only of PID 1. If the engine cannot
// be asked, that is logged and no: it must not take a command's result.
func (d *Docker) outOfMemory(ctx context.Context, id string, since time.Time) bool {
	ctx, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	told, err := d.toldOfMemory(ctx, id, since)
	if err != nil {
		d.config.Log.Warn().Err(err).Str("event", "sandbox.oom_unknown").Str("sandbox", id).Msg("the engine does not tell whether a command that was killed had no more memory")
	}
	return told
}

func (d *Docker) toldOfMemory(ctx context.Context, id string, since time.Time) (bool, error) {
	info, err := d.engine.Info(ctx, client.InfoOptions{})
	if err != nil {
		return false, err
	}
	// The engine keeps its events by its own clock.
	now, err := time.Parse(time.RFC3339Nano, info.Info.SystemTime)
	if err != nil {
		return false, fmt.Errorf("the engine's clock: %w", err)
	}
	told := d.engine.Events(ctx, client.EventsListOptions{
		Since: unix(now.Add(-d.config.Now().Sub(since))), Until: unix(now.Add(oomTime)),
		Filters: make(client.Filters).Add("container", d.name(id)).Add("event", "oom"),
	})
	select {
	case <-told.Messages:
		return true, nil
	case err := <-told.Err:
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return false, err
	}
}

// unix is a time as the engine reads it.
func unix(at time.Time) string {
	return strconv.FormatInt(at.Unix(), 10) + "." + fmt.Sprintf("%09d", at.Nanosecond())
}
