// Package githubsim is a stateful, strict and ill-tempered GitHub over real HTTP, for the tests of a GitHub App and for
// its demonstration. It promises one thing above all: it truly decides whether a pull request may be merged, from the
// check runs, reviews, rulesets and branch protection it holds, as GitHub documents it.
//
// Its words: a [Sim] is one GitHub Enterprise Server. It has people ([User], [Organization], [Team]), places
// ([Repository], [PullRequest], [Issue]), Apps ([App], [Installation]) and rules ([Protection], [Ruleset]). What people do
// is a method that takes the person first; what an App does goes over HTTP, below [Sim.APIURL] or, to read much at once,
// at [Sim.GraphQLURL]. Each act is one change of state and sends signed webhooks to the Apps that are installed,
// subscribed and permitted.
//
// It is strict: tokens expire, permissions are enforced, lists are paged, bodies are validated. It is ill-tempered when
// told to be: [Sim.Inject], [Sim.SetLatency], [Sim.SetDeliveryKnobs], [Sim.SetRateLimit] and [Sim.Before].
//
// Lifecycle: [Start] listens on a loopback port, [Sim.Close] stops listening and waits for every goroutine. [New] gives
// the bare http.Handler; then the caller serves it, calls [Sim.SetURL], and calls Close when done.
//
// All methods may be called from any goroutine. One mutex guards the whole state; fields of all types in this package are
// guarded by it unless they say otherwise. Setup methods (Create…, Set…, Install) panic when misused, for instance when a
// login is taken twice: they are for tests and demonstrations, where that is a programmer's error.
package githubsim
