// Package handlers is GitHub's door. [Door] verifies a webhook, keeps it, and
// answers; later, when the work comes round, it hands the delivery to the file
// that says what its event means. A handler translates an event into facts for
// package gate. It decides nothing and posts no check.
//
// What the door promises: a delivery is answered with 2xx only once it is kept,
// or if there is nothing to do about it; a delivery that was not signed with the
// secret by SHA-256 has no effect at all. Handling a delivery twice is like
// handling it once.
package handlers
