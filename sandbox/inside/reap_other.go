//go:build !unix

package inside

import (
	"context"
	"errors"
)

// reap has nothing that it could do: sandboxes are on Unix.
func reap(context.Context) error { return errors.New("there are no sandboxes on this system") }
