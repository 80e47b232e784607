package postgrestest

import (
	"os/exec"
	"runtime"
	"time"
)

// process is a child that has been started.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// launch starts a child on a thread that lives as long as the child does: Linux
// takes the end of the thread for the end of the parent.
func launch(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// running says whether there is a child and it has not ended.
func (p *process) running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// eventually asks again and again until it holds, or patience is at its end.
func eventually(holds func() bool) bool {
	if holds() {
		return true
	}
	over := time.After(patience)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case <-over:
			return holds()
		case <-again.C:
			if holds() {
				return true
			}
		}
	}
}
