package store

import (
	"context"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/internal/recovery"
)

// sweepSlots is how many of the switch's slots searches for switches take at most:
// where GitHub hangs, one for each installation does.
const sweepSlots = 4

// claimAgain is how long work waits that could not be claimed.
const claimAgain = 200 * time.Millisecond

// lane does what is due of kill switches, beside River: nothing that anybody else
// waits for is between a stop and its worker.
type lane struct {
	store *Store
	// work reports whether it could be begun, or need not be.
	work func(ctx context.Context, key string) bool
	log  zerolog.Logger

	watching, working sync.WaitGroup
	stop, interrupt   context.CancelFunc

	mu     sync.Mutex
	inHand map[string]bool // guarded by mu
}

// start begins to look for what is due, and returns at once.
func (l *lane) start(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	watching, stop := context.WithCancel(ctx)
	working, interrupt := context.WithCancel(goFirst(ctx))
	l.stop, l.interrupt, l.inHand = stop, interrupt, map[string]bool{}
	l.watching.Go(func() { l.watch(watching, working) })
}

// end takes nothing more up and waits for what is under way, which it interrupts when
// ctx ends.
func (l *lane) end(ctx context.Context) {
	l.stop()
	l.watching.Wait()
	ended := make(chan struct{})
	go func() { l.working.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	l.interrupt()
	<-ended
}

func (l *lane) watch(ctx, working context.Context) {
	for ctx.Err() == nil {
		asked := l.store.now()
		due, err := l.store.alarms(ctx, gate.UrgencySwitch)
		if err != nil && ctx.Err() == nil {
			l.log.Error().Err(err).Msg("it could not be read what is due of kill switches; it is tried again")
		}
		for _, a := range due {
			if l.take(a.key) {
				l.working.Go(func() { l.do(working, a.key) })
			}
		}
		l.store.sleep(ctx, l.store.untilDue(ctx, asked), l.store.wakeSwitch)
	}
}

// take reports whether somebody is to do the work: nobody does, and a slot is free.
func (l *lane) take(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	sweeps := 0
	for other := range l.inHand {
		if recovery.Owns(other) {
			sweeps++
		}
	}
	if l.inHand[key] || len(l.inHand) >= Slots[gate.UrgencySwitch] || recovery.Owns(key) && sweeps >= sweepSlots {
		return false
	}
	l.inHand[key] = true
	return true
}

func (l *lane) do(ctx context.Context, key string) {
	defer func() {
		if fault := recover(); fault != nil {
			// The claim ends by itself, as that of a process that died.
			l.log.Error().Str("work", key).Interface("panic", fault).Bytes("stack", debug.Stack()).Msg("work on kill switches broke off; it is tried again")
		}
		l.mu.Lock()
		delete(l.inHand, key)
		l.mu.Unlock()
		l.store.signal() // what came due meanwhile has waited for the slot
	}()
	if !l.work(ctx, key) {
		l.store.sleep(ctx, claimAgain, nil)
	}
}
