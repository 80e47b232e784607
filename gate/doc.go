// Package gate holds one pull request at a time until the review it needs has
// happened.
//
// [ApprovalWorkflow] is the record of who was asked to approve which commit and
// what they answered. [Gate] evaluates: it reads the pull request and the
// policy, lets [policy.Decide] judge, and holds the required check to that
// judgement.
//
// The safe direction is closed. Whatever cannot be read, parsed or written
// leaves the gate closed, or as strict as it was, and the error is returned so
// that the work comes back. Before a check turns green, the pull request, its
// reviews and its votes are read once more.
//
// Evaluations of one pull request must not overlap; whoever calls Evaluate sees
// to that (package app does, with one worker per pull request). Should they
// overlap all the same, each carries a generation and an older one never
// overwrites a newer one.
package gate
