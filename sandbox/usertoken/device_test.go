package usertoken_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

func TestDevices(t *testing.T) {
	w := newWorld(t)
	device, err := w.BeginDevice(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	begun := w.config.Now()
	w.hub.pending = 3
	if who, err := w.AwaitDevice(t.Context(), device); err != nil || who != ann {
		t.Errorf("%+v, %v", who, err)
	}
	if took := w.config.Now().Sub(begun); took != 35*time.Second {
		t.Errorf("it was asked for %s", took)
	}
	w.want("a device's", "ghu_1")
	for name, change := range map[string]func(*usertoken.Device){
		"too long": func(*usertoken.Device) { w.hub.pending = 1000 },
		"she says no": func(d *usertoken.Device) {
			w.hub.pending = 0
			d.Code = "another"
		},
	} {
		device, _ := w.BeginDevice(t.Context())
		change(&device)
		if _, err := w.AwaitDevice(t.Context(), device); err == nil {
			t.Errorf("%s: a token", name)
		} else if _, over := errors.AsType[*usertoken.OverError](err); !over {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.AwaitDevice(ctx, device); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits: %v", err)
	}
}
