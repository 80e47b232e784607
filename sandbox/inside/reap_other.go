//go:build !unix

package inside

import "context"

// reap has nothing that it could do: sandboxes are on Unix.
func reap(context.Context) error { return errNoSandbox }
