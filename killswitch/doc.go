// Package killswitch stops everything in a scope at once: one pull request, a
// repository, all of an organization, or only what agents made in one of them.
//
// The label is the switch. On a pull request it stops that pull request, on an
// open issue the repository, and on an open issue of the organization's own
// repository the organization. The record in the database says since when, by
// whom and why, and is what every guard asks: from the moment it says on, no gate
// opens, nothing is lent and nothing is started.
//
// Read it in this order: [KillSwitch] is the contract; switch.go is what is on
// record and how it changes, without any I/O; notice.go is what GitHub tells;
// enforce.go makes GitHub and everything else be as the record says, lock.go with
// a ruleset that forbids every merge; release.go starts again.
//
// This package knows none of the things that it stops: each is a [Stopper].
// Unknown means on: an error from whoever is asked counts as a switch that is on.
package killswitch
