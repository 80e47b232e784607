package inside

import (
	"context"
	"fmt"
	"io"
	"net"

	"golang.org/x/sync/errgroup"
)

// maxForwarded is how many connections are open at once; more wait.
const maxForwarded = 64

// forward pipes each connection to the proxy's socket, which is outside, and judges
// nothing.
func forward(ctx context.Context, socket string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", ProxyAddress)
	if err != nil {
		return fmt.Errorf("take what wants to go out: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	var open errgroup.Group
	open.SetLimit(maxForwarded)
	for {
		connection, err := listener.Accept()
		if err != nil {
			if ctx.Err() == nil {
				return fmt.Errorf("take what wants to go out: %w", err)
			}
			return open.Wait()
		}
		open.Go(func() error {
			pipe(ctx, connection.(*net.TCPConn), socket) //nolint:forcetypeassert // a TCP listener's connections are
			return nil
		})
	}
}

// pipe is over once both have said all, or one of them is gone.
func pipe(ctx context.Context, connection *net.TCPConn, socket string) {
	defer func() { _ = connection.Close() }()
	proxy, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return // the program sees that nobody answers
	}
	defer func() { _ = proxy.Close() }()
	out := proxy.(*net.UnixConn) //nolint:forcetypeassert // a connection to a Unix socket is
	defer context.AfterFunc(ctx, func() { _, _ = connection.Close(), out.Close() })()
	var both errgroup.Group
	both.Go(func() error {
		_, err := io.Copy(out, connection)
		_ = out.CloseWrite()
		return err
	})
	both.Go(func() error {
		_, err := io.Copy(connection, out)
		_ = connection.CloseWrite()
		return err
	})
	_ = both.Wait()
}
