//go:build race

package app

// raced is whether the race detector is on.
const raced = true
