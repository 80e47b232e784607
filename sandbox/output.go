package sandbox

import "bytes"

// floodFactor is how many times as much as is kept a command may write before it is
// killed: reading on costs whoever reads more than whoever writes.
const floodFactor = 10

// Output keeps the beginning of what is written to it and counts the rest. It is for one
// goroutine at a time.
type Output struct {
	kept    bytes.Buffer
	limit   int
	written int64
	flooded bool
	onFlood func()
}

// NewOutput returns one that keeps limit bytes, and calls flood once if there is far
// more.
func NewOutput(limit int, flood func()) *Output { return &Output{limit: limit, onFlood: flood} }

// Write never fails.
func (o *Output) Write(p []byte) (int, error) {
	o.written += int64(len(p))
	o.kept.Write(p[:min(len(p), max(0, o.limit-o.kept.Len()))])
	if !o.flooded && o.written > floodFactor*int64(o.limit) {
		o.flooded = true
		o.onFlood()
	}
	return len(p), nil
}

// String is what is kept.
func (o *Output) String() string { return o.kept.String() }

// Truncated reports whether there was more.
func (o *Output) Truncated() bool { return o.written > int64(o.limit) }

// Flooded reports whether there was far more.
func (o *Output) Flooded() bool { return o.flooded }
