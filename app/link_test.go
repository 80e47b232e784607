package app

import (
	"net"
	"sync"
	"testing"
	"time"
)

// link is a way over TCP that fails as networks do. What it holds back while it
// is frozen arrives when it thaws, as TCP would send it again.
type link struct {
	listener net.Listener
	target   string
	work     sync.WaitGroup

	mu      sync.Mutex
	delay   time.Duration
	cut     bool
	thawed  chan struct{} // closed while it is not frozen
	through map[net.Conn]bool
}

func newLink(t testing.TB, target string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{listener: listener, target: target, thawed: make(chan struct{}), through: map[net.Conn]bool{}}
	close(l.thawed)
	l.work.Go(l.accept)
	t.Cleanup(func() {
		listener.Close()
		l.mend()
		l.setCut(true)
		l.work.Wait()
	})
	return l
}

func (l *link) address() string { return l.listener.Addr().String() }

func (l *link) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.work.Go(func() { l.connect(near) })
	}
}

func (l *link) connect(near net.Conn) {
	<-l.state().thawed // half-open: the system accepts, and nobody is there
	if l.state().cut {
		near.Close()
		return
	}
	far, err := net.Dial("tcp", l.target)
	if err != nil {
		near.Close()
		return
	}
	l.mu.Lock()
	l.through[near], l.through[far] = true, true
	l.mu.Unlock()
	l.work.Go(func() { l.pump(near, far) })
	l.pump(far, near)
}

type linkState struct {
	delay  time.Duration
	cut    bool
	thawed <-chan struct{}
}

func (l *link) state() linkState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return linkState{l.delay, l.cut, l.thawed}
}

// pump carries bytes one way until one end closes.
func (l *link) pump(from, to net.Conn) {
	defer l.drop(from, to)
	chunk := make([]byte, 32<<10)
	for {
		n, err := from.Read(chunk)
		s := l.state()
		if s.delay > 0 {
			<-time.After(s.delay)
		}
		<-s.thawed
		if _, failed := to.Write(chunk[:n]); err != nil || failed != nil {
			return
		}
	}
}

func (l *link) drop(ends ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, end := range ends {
		end.Close()
		delete(l.through, end)
	}
}

// slow makes each chunk take so long.
func (l *link) slow(delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = delay
}

// freeze lets nothing through, and tells nobody.
func (l *link) freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.thawed = make(chan struct{})
}

// mend undoes slow, freeze and setCut.
func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay, l.cut = 0, false
	select {
	case <-l.thawed:
	default:
		close(l.thawed)
	}
}

// setCut ends the connections in order, and refuses others for as long as it is cut.
func (l *link) setCut(cut bool) {
	l.mu.Lock()
	l.cut = cut
	l.mu.Unlock()
	l.end(false)
}

// reset breaks the connections that there are: both ends get an error.
func (l *link) reset() { l.end(true) }

func (l *link) end(abruptly bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for end := range l.through {
		if tcp, ok := end.(*net.TCPConn); ok && abruptly {
			_ = tcp.SetLinger(0)
		}
		end.Close()
	}
}
