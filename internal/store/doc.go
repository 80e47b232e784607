// Package store keeps what Portcullis must not lose: deliveries that were
// acknowledged and the work they ask for, who was asked to approve what and
// what they answered, the decisions that were posted, and the audit chain.
//
// A method that changes something is a fact: one call, one transaction, with
// the fact's audit entry and the work that follows from it. Whatever returned
// without an error survives the end of the process and of the power; whatever
// returned an error changed nothing, except where the method says otherwise.
// Every fact may be told twice; the second time changes nothing.
//
// The words: a delivery is one webhook as GitHub sent it. Work is a row per
// subject, a pull request or a delivery that is about none; it counts how often
// somebody wanted it done and up to which of those it was. It is due while the
// two differ, once its timer has come, and never before its back-off has
// passed. A claim is one worker's hold on due work. It lives in this process
// alone, so a process that dies holds nothing, and so one file must be served
// by one process.
//
// The rules of approval are not here: they are methods of gate.ApprovalState,
// which run inside the transaction. Times come from the clock that [Open] is
// given and are kept to the millisecond. All methods of [Store] may be called
// from several goroutines.
package store
