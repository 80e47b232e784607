// Package credential lends credentials for a short time: [JITCredentialIssuer] is the
// contract, and [MemoryJITCredentialIssuer] the implementation that forgets
// everything with the process.
//
// Nothing is lent while a kill switch stops the place it would be used in, and what
// was lent there ends with the stop. Whoever cannot be asked whether there is one
// stops as well.
package credential
