// Package policy is the rules of Portcullis and the words they are told in:
// approval tiers, the complexity score, the policy file, commands, who counts
// as an approver, and [Decide], which turns all of that into a [Decision].
//
// The package promises to be pure. It reads no clock, no file and no network;
// the same [Input] always gives the same Decision, so that every rule can be
// tested as data. It also promises to be closed by default: the zero Decision,
// an unknown tier, a fact that could not be read and a person whose standing is
// not known never open a gate.
//
// A type lives here only if Decide reads or returns it. What has effects lives
// with its verb: package gate evaluates and posts.
//
// Everything in the package may be called from several goroutines at once; no
// function keeps or changes its arguments.
package policy
