// Package sandbox runs code that nobody has reviewed yet where it can do no harm.
// [Sandbox] is the contract, [MemorySandbox] the implementation for tests, which runs
// nothing, and the packages below are those that do: docker, codespaces, kubernetes.
//
// What runs there is assumed to be hostile. What a [SandboxConstraints] says is enforced
// or refused with an [*UnsupportedError], and never ignored. The backend is the truth of
// what runs: each sandbox carries who it is for and until when, so that any process, also
// one with an empty database, finds it and ends it.
//
// Nothing is started while a kill switch stops the place it is for ([Guard]), and what
// runs there is destroyed with the stop.
package sandbox
