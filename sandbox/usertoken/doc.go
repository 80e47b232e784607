// Package usertoken keeps the tokens with which the App acts for people who let it: what
// belongs to a person at GitHub, as a codespace does, only that person can create.
//
// At rest they are encrypted. GitHub renews a token once for what renews it, and forgets
// the old one with that: so one renews at a time, whichever replica it is, and where the
// answer was lost the person is asked to let the App act for them once more. A person who
// takes it back is obeyed at once.
package usertoken
