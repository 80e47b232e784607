//go:build !crashpoints || !unix

package store

// crashAt is where a test lets the process die: see crashpoints.go, which is built
// for that test alone.
func crashAt(string) {}
