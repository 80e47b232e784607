//go:build unix

package inside

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// reap takes the ends of processes that nobody else waits for, which fall to PID 1: they
// would count against the sandbox's limit of processes.
func reap(ctx context.Context) error {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)
	for {
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if pid <= 0 || err != nil {
				break
			}
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return nil
		}
	}
}
