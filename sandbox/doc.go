// Package sandbox runs commands where they can do no harm: [Sandbox] is the contract,
// and [MemorySandbox] the implementation for tests, which runs nothing.
//
// Nothing is started while a kill switch stops the place it is for, and what runs
// there is destroyed with the stop.
package sandbox
