// Package store keeps what Portcullis must not lose: deliveries that were
// acknowledged and the work they ask for, who was asked to approve what and
// what they answered, the decisions that were posted, and the audit chain.
//
// It is an SQLite file for one process, or a PostgreSQL database for any number
// of them. The statements, the order of writers and the conformance suite are the
// same for both.
//
// A method that changes something is a fact: one call, one transaction, with
// the fact's audit entry and the work that follows from it. Whatever returned
// without an error survives the end of the process and of the power. What
// returned an error of ours changed nothing; after an error of the context or the
// connection, nobody knows. Every fact may be told twice; the second time changes
// nothing.
//
// The words: a delivery is one webhook as GitHub sent it. Work is a row per
// subject, a pull request or a delivery that is about none; it counts how often
// somebody wanted it done and up to which of those it was. It is due while the
// two differ, once its timer has come, and never before its back-off has
// passed. A claim is one worker's hold on due work, for one [Lease], in whichever
// process. A [Queue] calls workers by alarms, which River carries; an alarm says
// only where to look, so that truth is in the rows alone. For kill switches it
// looks at the rows itself.
//
// The rules of approval are not here: they are methods of gate.ApprovalState,
// which run inside the transaction. Times come from the clock that [Open] is
// given and are kept to the millisecond. All methods of [Store] may be called
// from several goroutines.
package store
